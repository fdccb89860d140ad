//! How much memory a run may take: what the machine has free, or a container or a person allows.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::memory_budget::parse_size;

/// The environment variable that takes the place of what is found, such as `6GB`.
pub const VARIABLE: &str = "REGULUS_MEMORY";

/// A size that is no number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{VARIABLE} is `{value}`; expected a number of bytes, or one with KB, MB, GB, TB, KiB, MiB, GiB or TiB"
)]
pub struct SizeError {
    /// What it is.
    pub value: String,
}

/// Bytes that a run may take; `None` where they are not known. [`VARIABLE`] comes first; else it is, on Linux, what is
/// free in the machine and in each memory limit (cgroup) that the process is under, whichever is least. Pages of files
/// that the system keeps in memory count as free.
///
/// # Errors
/// [`SizeError`] if the variable holds no size.
pub fn available() -> Result<Option<u64>, SizeError> {
    match std::env::var_os(VARIABLE) {
        Some(value) => {
            let value = value.to_string_lossy().into_owned();
            parse_size(&value).map(Some).ok_or(SizeError { value })
        }
        None => Ok(found_below(Path::new("/"))),
    }
}

/// What the files of a Linux system below `root` say.
fn found_below(root: &Path) -> Option<u64> {
    let machine = fs::read_to_string(root.join("proc/meminfo")).ok();
    let machine = machine.and_then(|text| Some(field(&text, "MemAvailable:")?.saturating_mul(1024)));
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            "" => free_in_each(&root.join("sys/fs/cgroup"), path, &SECOND),
            _ if controllers.split(',').any(|name| name == "memory") => {
                free_in_each(&root.join("sys/fs/cgroup/memory"), path, &FIRST)
            }
            _ => None,
        }
    });
    limits.chain(machine).min()
}

/// The files of a memory limit.
struct Names {
    limit: &'static str,
    used: &'static str,
    /// Fields of `memory.stat` that count pages of files.
    of_files: [&'static str; 2],
}

/// Version 1 of cgroups.
const FIRST: Names = Names {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    of_files: ["total_inactive_file", "total_active_file"],
};
/// Version 2.
const SECOND: Names =
    Names { limit: "memory.max", used: "memory.current", of_files: ["inactive_file", "active_file"] };

/// The least that is free in the group at `path` and those around it. In a container the path may be that of the host,
/// which is not there; the container's own group is the outermost one then.
fn free_in_each(mount: &Path, path: &str, names: &Names) -> Option<u64> {
    let inside = Path::new(path).components().filter(|part| matches!(part, Component::Normal(_)));
    let group = mount.join(inside.collect::<PathBuf>());
    let groups = group.ancestors().take_while(|folder| folder.starts_with(mount));
    groups.filter_map(|folder| free_in(folder, names)).min()
}

fn free_in(folder: &Path, names: &Names) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let (limit, used) = (number(names.limit)?, number(names.used)?);
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let files = names.of_files.iter().filter_map(|name| field(&stat, name)).fold(0, u64::saturating_add);
    Some(limit.saturating_sub(used.saturating_sub(files)))
}

/// The number behind `name`.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| (words.next()? == name).then(|| words.next()?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MEMINFO: (&str, &str) =
        ("proc/meminfo", "MemTotal:       2000 kB\nMemFree:  1 kB\nMemAvailable:   1000 kB\n");

    #[test]
    fn without_a_limit_it_is_the_machine() {
        assert_eq!(found_below(system(&[]).path()), None);
        assert_eq!(found_below(system(&[MEMINFO]).path()), Some(1_024_000));
        let unlimited = [
            MEMINFO,
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
            ("sys/fs/cgroup/memory.current", "5\n"),
        ];
        assert_eq!(found_below(system(&unlimited).path()), Some(1_024_000));
    }

    #[test]
    fn the_tightest_group_counts_and_its_pages_of_files_are_free() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/outer/memory.max", "9000\n"),
            ("sys/fs/cgroup/outer/memory.current", "8000\n"),
            ("sys/fs/cgroup/outer/memory.stat", "anon 1\ninactive_file 3000\nactive_file 500\n"),
            ("sys/fs/cgroup/outer/inner/memory.max", "8000\n"),
            ("sys/fs/cgroup/outer/inner/memory.current", "100\n"),
        ];
        assert_eq!(found_below(system(&files).path()), Some(4500));
    }

    #[test]
    fn version_one_and_a_path_of_the_host() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/../x\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "7000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "6000\n"),
            ("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 2000\n"),
        ];
        assert_eq!(found_below(system(&files).path()), Some(3000));
    }
}
