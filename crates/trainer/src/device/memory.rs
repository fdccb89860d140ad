//! How much memory a device has.

use burn::tensor::Device;

use super::Backend;

/// Bytes of a device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// All of it.
    pub total: Option<u64>,
    /// What nothing uses now.
    pub free: u64,
}

/// The memory of a device of `backend`; `None` where nobody tells. A processor's is the machine's; of graphics cards,
/// NVIDIA's driver is asked, and on Linux the files of AMD's, whose small cards also use the machine's memory (GTT). A software renderer computes in the machine's memory.
pub fn memory_of(backend: Backend, device: &Device) -> Option<DeviceMemory> {
    if backend.is_processor() {
        return machine();
    }
    match card(device)? {
        Card::At(address) => of_nvidia(&address).or_else(|| of_amd(&address)),
        Card::None => machine(),
    }
}

/// What a run may take of the machine's memory.
fn machine() -> Option<DeviceMemory> {
    let free = crate::estimate::available().ok().flatten()?;
    Some(DeviceMemory { total: None, free })
}

/// The card behind a device.
#[cfg_attr(not(any(feature = "wgpu", feature = "cuda", feature = "rocm")), expect(dead_code))]
enum Card {
    /// Its place on the bus, such as `0000:07:00.0`.
    At(String),
    /// A software renderer.
    None,
}

#[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
fn card(device: &Device) -> Option<Card> {
    match device.identity()?.physical {
        Some(physical) => physical.pci_address.map(|address| Card::At(address.to_string())),
        None => Some(Card::None),
    }
}

#[cfg(not(any(feature = "wgpu", feature = "cuda", feature = "rocm")))]
fn card(_device: &Device) -> Option<Card> {
    None
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn of_nvidia(address: &str) -> Option<DeviceMemory> {
    let library = nvml_wrapper::Nvml::init().ok()?;
    let memory = library.device_by_pci_bus_id(address).ok()?.memory_info().ok()?;
    Some(DeviceMemory { total: Some(memory.total), free: memory.free })
}

#[cfg(not(any(feature = "wgpu", feature = "cuda")))]
fn of_nvidia(_address: &str) -> Option<DeviceMemory> {
    None
}

fn of_amd(address: &str) -> Option<DeviceMemory> {
    of_amd_below(std::path::Path::new("/sys/bus/pci/devices"), address)
}

fn of_amd_below(devices: &std::path::Path, address: &str) -> Option<DeviceMemory> {
    let number = |file: &str| {
        let text = std::fs::read_to_string(devices.join(address).join(file)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let [total, used] = ["total", "used"].map(|what| {
        let parts = [number(&format!("mem_info_vram_{what}"))?, number(&format!("mem_info_gtt_{what}"))?];
        Some(parts[0].saturating_add(parts[1]))
    });
    let (total, used) = (total?, used?);
    Some(DeviceMemory { total: Some(total), free: total.saturating_sub(used) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amds_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("0000:07:00.0");
        std::fs::create_dir(&card).unwrap();
        std::fs::write(card.join("mem_info_vram_total"), "8000\n").unwrap();
        std::fs::write(card.join("mem_info_vram_used"), "3000\n").unwrap();
        std::fs::write(card.join("mem_info_gtt_total"), "500\n").unwrap();
        assert_eq!(of_amd_below(folder.path(), "0000:07:00.0"), None);
        std::fs::write(card.join("mem_info_gtt_used"), "100\n").unwrap();
        let found = of_amd_below(folder.path(), "0000:07:00.0");
        assert_eq!(found, Some(DeviceMemory { total: Some(8500), free: 5400 }));
        assert_eq!(of_amd_below(folder.path(), "0000:08:00.0"), None);
    }
}
