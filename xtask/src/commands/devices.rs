//! `cargo xtask devices`: what this binary can compute on.

use regulus_trainer::device::{Backend, DeviceMemory, Listed, State, list};
use regulus_trainer::estimate::bytes;

use crate::failure::{Failure, Outcome};
use crate::table::Table;

/// What to list.
#[derive(clap::Args)]
pub struct Arguments {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    // A device that fails is a line of the list; its backend's own message would say it twice.
    std::panic::set_hook(Box::new(|_| {}));
    let listed = list();
    let _ = std::panic::take_hook();
    if arguments.json {
        let entries: Vec<_> = listed.iter().map(as_json).collect();
        println!("{}", serde_json::to_string_pretty(&entries).map_err(Failure::work)?);
        return Ok(());
    }
    let mut table = Table::of_words(["device", "feature", "compiled in", "usable", "memory"]);
    for entry in &listed {
        let compiled_in = if entry.backend.is_compiled_in() { "yes" } else { "no" };
        let (usable, memory) = (in_words(entry), entry.memory().map(of_memory).unwrap_or_default());
        table.row([&entry.name, entry.backend.feature(), compiled_in, &usable, &memory]);
    }
    println!("{table}");
    println!(
        "--device takes a name of the first column; a backend is compiled in by `--features <feature>`."
    );
    Ok(())
}

fn in_words(entry: &Listed) -> String {
    match &entry.state {
        State::NotCompiledIn => "-".to_owned(),
        State::Missing => format!("no: {}", entry.backend.hint_where_missing()),
        State::Failing(failure) => format!("no: {failure}"),
        State::Usable { part: Some(part), .. } => format!("yes: {part}"),
        State::Usable { part: None, .. } => "yes".to_owned(),
    }
}

/// `71.3 GB of 79.6 GB free`.
fn of_memory(memory: DeviceMemory) -> String {
    match memory.total {
        Some(total) => format!("{} of {} free", bytes(memory.free), bytes(total)),
        None => format!("{} free", bytes(memory.free)),
    }
}

fn as_json(entry: &Listed) -> serde_json::Value {
    let Listed { name, backend, state } = entry;
    let part = match state {
        State::Usable { part, .. } => part.as_deref(),
        _ => None,
    };
    let memory = entry.memory();
    serde_json::json!({
        "device": name,
        "feature": Backend::feature(*backend),
        "compiled_in": backend.is_compiled_in(),
        "usable": matches!(state, State::Usable { .. }),
        "part": part,
        "free_bytes": memory.map(|memory| memory.free),
        "total_bytes": memory.and_then(|memory| memory.total),
    })
}
