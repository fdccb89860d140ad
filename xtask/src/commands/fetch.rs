//! `cargo xtask fetch`: published models, into the cache of the Hugging Face hub's client.

use std::path::{Path, PathBuf};

use regulus_hub::{Event, FetchError, Settings, Use, Wanted, Watch, in_words};

use crate::failure::{Failure, Outcome};
use crate::interrupt::Interruption;
use crate::progress::Line;
use crate::table::Table;

/// Arguments of `cargo xtask fetch`.
#[derive(clap::Args)]
pub struct Arguments {
    /// A name of the list, or a repository of the hub: <org>/<name>; either with @<revision>. Without it: the list
    name: Option<String>,
    /// Print the list of names, what they are, and what of them is in the cache
    #[arg(long, conflicts_with = "name")]
    list: bool,
    /// Folder of the cache, in the place of HF_HOME
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let wanted = arguments.name.as_deref().map(Wanted::parse).transpose().map_err(failure)?;
    let settings = Settings::from_environment(arguments.cache.as_deref()).map_err(failure)?;
    match wanted {
        Some(wanted) => fetch(&wanted, &settings),
        None => list(&settings),
    }
}

fn list(settings: &Settings) -> Outcome {
    let mut table = Table::of_words(["name", "model", "MB", "licence", "in the cache"]);
    for entry in regulus_hub::all() {
        let cached = Wanted::of(entry).map_err(failure)?.cached(settings).is_some();
        table.row([
            entry.name.to_owned(),
            entry.what.to_owned(),
            entry.megabytes.map_or_else(|| "?".to_owned(), |megabytes| megabytes.to_string()),
            entry.licence.to_owned(),
            if cached { "yes" } else { "" }.to_owned(),
        ]);
    }
    println!(
        "{table}\ncargo xtask fetch <name> fetches one; so does <org>/<name> for any repository of the hub"
    );
    Ok(())
}

fn fetch(wanted: &Wanted, settings: &Settings) -> Outcome {
    let asked = Interruption::listen()?;
    let mut shown = Shown(None);
    let mut tell = |event: Event<'_>| shown.tell(event);
    let mut watch = Watch { stop: &|| asked.asked(), tell: &mut tell };
    let fetched = wanted.fetch(settings, &mut watch).map_err(failure)?;
    if fetched.downloaded == 0 {
        eprintln!("everything was in the cache");
    }
    println!("{}", fetched.path.display());
    if let Some(used_as) = wanted.used_as(&fetched.path) {
        println!("{}", line_to_use(used_as, &fetched.path));
    }
    Ok(())
}

/// The command in which a model is used.
fn line_to_use(used_as: Use, path: &Path) -> String {
    let path = path.display();
    match used_as {
        Use::Clip => format!("cargo xtask train --method proreg --model {path} --data <folder>"),
        Use::Backbone => {
            format!("cargo xtask train --method tes --model <clip> --backbone {path} --data <folder>")
        }
        Use::Text => format!(
            "cargo xtask train --method tes --backbone <file or folder> --data <folder> \
             --set 'method.text={{ bert = \"{path}\", pooling = \"cls\" }}'"
        ),
    }
}

/// The line of the file that is coming.
struct Shown(Option<(String, Line)>);

impl Shown {
    fn tell(&mut self, event: Event<'_>) {
        match event {
            Event::Notice(notice) => eprintln!("note: {notice}"),
            Event::Progress { file, done, total } => {
                let (unit, name) = unit(total.unwrap_or(done));
                let line = self.line(file, name);
                line.step(steps(done, unit), steps(total.unwrap_or(done), unit));
            }
            Event::Finished { file, bytes } => {
                self.line(file, unit(bytes).1).finish(&format!("{file}: {}", in_words(bytes)));
                self.0 = None;
            }
        }
    }

    fn line(&mut self, file: &str, unit: &str) -> &mut Line {
        let started = self.0.take().filter(|(shown, _)| shown == file);
        &mut self
            .0
            .insert(started.unwrap_or_else(|| (file.to_owned(), Line::start(&format!("{file} ({unit})")))))
            .1
    }
}

/// In what a file of this size is counted.
fn unit(bytes: u64) -> (u64, &'static str) {
    if bytes < 10 << 20 { (1 << 10, "KiB") } else { (1 << 20, "MiB") }
}

fn steps(bytes: u64, unit: u64) -> usize {
    usize::try_from(bytes.div_ceil(unit)).unwrap_or(usize::MAX)
}

fn failure(error: FetchError) -> Failure {
    if error.is_stop() {
        Failure::Stopped(error.into())
    } else if error.is_of_request() {
        Failure::request(error)
    } else {
        Failure::work(error)
    }
}
