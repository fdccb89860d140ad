//! The text of a suite before it is read as one: suites on top of suites, one optimisation for many methods, and
//! variants of a method, all written out.

use std::path::{Path, PathBuf};

use regulus_trainer::experiment::{apply_override, nearest, parse_toml, read_text};
use toml::{Table, Value};

use crate::failure::{Failure, Outcome};

const FOLDER: &str = "recipes/suites";
/// Suites on top of suites.
const DEEPEST: usize = 4;

/// The suite at `path`, on top of those that it `extends`, with nothing left to look up elsewhere.
pub fn read(path: &Path) -> Outcome<Table> {
    merged(path, 0)
}

/// The path of the suite called `name`.
pub fn named(name: &str) -> Outcome<PathBuf> {
    let path = Path::new(FOLDER).join(format!("{name}.toml"));
    if path.is_file() {
        return Ok(path);
    }
    let entries = std::fs::read_dir(FOLDER).map_err(|error| {
        refused(format!("cannot read {FOLDER} ({error}); run from the top of the repository"))
    })?;
    let mut names: Vec<String> = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Some(name) = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()) else { continue };
        match std::fs::read_dir(&path) {
            // Suites of published protocols: system/protocol.
            Ok(inner) => names.extend(inner.filter_map(|entry| {
                Some(format!("{name}/{}", entry.ok()?.path().file_stem()?.to_string_lossy()))
            })),
            Err(_) => names.push(name),
        }
    }
    names.sort();
    let hint = did_you_mean(name, names.iter().map(String::as_str));
    Err(refused(format!("no suite is called `{name}`{hint}; known are {}", names.join(", "))))
}

/// Tables are merged, and the rows and claims of the suites below come first, without what is listed under `without`.
fn merged(path: &Path, depth: usize) -> Outcome<Table> {
    let text = read_text(path).map_err(Failure::request)?;
    let mut document: Table = parse_toml(&text, &path.display().to_string()).map_err(Failure::request)?;
    let bases = names(path, "extends", document.remove("extends"))?;
    let without = names(path, "without", document.remove("without"))?;
    if depth == DEEPEST && !bases.is_empty() {
        return Err(refused(format!("{}: suites extend each other in a circle", path.display())));
    }
    let mut below = Table::new();
    for base in bases {
        put_on_top(&mut below, merged(&named(&base)?, depth + 1)?);
    }
    below.retain(|key, _| !without.iter().any(|name| name == key));
    spread_training(&mut document);
    put_on_top(&mut below, document);
    add_recipes(path, &mut below)?;
    add_variants(path, &mut below)?;
    Ok(below)
}

/// One name, or a list of them.
fn names(path: &Path, key: &str, value: Option<Value>) -> Outcome<Vec<String>> {
    let wrong = |value: &Value| {
        refused(format!("{}: {key} is {value}; expected a name or a list of names", path.display()))
    };
    match value {
        None => Ok(Vec::new()),
        Some(Value::String(name)) => Ok(vec![name]),
        Some(Value::Array(list)) => {
            let name = |item: &Value| item.as_str().map(str::to_owned).ok_or_else(|| wrong(item));
            list.iter().map(name).collect()
        }
        Some(other) => Err(wrong(&other)),
    }
}

fn put_on_top(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => old.extend(new),
            (Some(Value::Array(old)), Value::Array(new)) if key != "seeds" => {
                // Two suites below may both bring what they share.
                let missing: Vec<Value> = new.into_iter().filter(|item| !old.contains(item)).collect();
                old.extend(missing);
            }
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Gives `[training]` to every method of the document that has none of its own, so that suites with different ones
/// can be put together.
fn spread_training(document: &mut Table) {
    let Some(training) = document.remove("training") else { return };
    let methods = document.get("methods").and_then(Value::as_table);
    let names: Vec<String> = methods.into_iter().flat_map(Table::keys).cloned().collect();
    let own = document.entry("training_of").or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(own) = own {
        for name in names {
            own.entry(name).or_insert_with(|| training.clone());
        }
    }
}

/// `[recipes]`: `name = "recipes/published/file.toml"` is a method with the training and mixtures of a recipe.
fn add_recipes(path: &Path, document: &mut Table) -> Outcome {
    let Some(recipes) = document.remove("recipes") else { return Ok(()) };
    let wrong =
        |name: &str| refused(format!("{}: recipes.{name}: expected the path of a recipe", path.display()));
    let Value::Table(recipes) = recipes else { return Err(wrong("")) };
    for (name, file) in recipes {
        let file = file.as_str().ok_or_else(|| wrong(&name))?;
        let text = read_text(Path::new(file)).map_err(Failure::request)?;
        let mut recipe: Table = parse_toml(&text, file).map_err(Failure::request)?;
        for (key, table) in [("method", "methods"), ("training", "training_of"), ("ensemble", "ensemble_of")]
        {
            let entry = document.entry(table).or_insert_with(|| Value::Table(Table::new()));
            if let (Some(value), Value::Table(entry)) = (recipe.remove(key), entry) {
                entry.insert(name.clone(), value);
            }
        }
        if let Some(key) = recipe.keys().next() {
            return Err(refused(format!("{file}: `{key}` of a recipe cannot be part of a suite")));
        }
    }
    Ok(())
}

/// `[variants]`: `name = { of = "method", set = ["method.alpha=1.0"] }` is a method with some values changed.
fn add_variants(path: &Path, document: &mut Table) -> Outcome {
    let Some(variants) = document.remove("variants") else { return Ok(()) };
    let wrong = |name: &str, what: String| refused(format!("{}: variants.{name}: {what}", path.display()));
    let Value::Table(variants) = variants else {
        return Err(wrong("", format!("is {variants}; expected a table")));
    };
    for (name, variant) in variants {
        let of = variant.get("of").and_then(Value::as_str);
        let of = of.ok_or_else(|| wrong(&name, "`of` is missing: the name of a method".into()))?;
        let set = variant.get("set").and_then(Value::as_array);
        let set = set.ok_or_else(|| wrong(&name, "`set` is missing: a list of key=value".into()))?;
        let part = |table: &str| document.get(table).and_then(|table| table.get(of)).cloned();
        let Some(method) = part("methods") else {
            let known = document.get("methods").and_then(Value::as_table);
            let hint = did_you_mean(of, known.into_iter().flat_map(Table::keys).map(String::as_str));
            return Err(wrong(&name, format!("no method is called `{of}`{hint}")));
        };
        let mut changed = Table::from_iter([("method".to_owned(), method)]);
        changed.extend(part("training_of").map(|training| ("training".to_owned(), training)));
        changed.extend(part("backbone_of").map(|backbone| ("backbone".to_owned(), backbone)));
        let own = document.get("ensemble_of").and_then(|table| table.get(&name)).cloned();
        let ensemble = own.or_else(|| part("ensemble_of"));
        changed.extend(ensemble.map(|ensemble| ("ensemble".to_owned(), ensemble)));
        for assignment in set {
            let text = assignment.as_str();
            let text =
                text.ok_or_else(|| wrong(&name, format!("{assignment} is not of the form \"key=value\"")))?;
            apply_override(&mut changed, text).map_err(Failure::request)?;
        }
        let tables = [
            ("method", "methods"),
            ("training", "training_of"),
            ("backbone", "backbone_of"),
            ("ensemble", "ensemble_of"),
        ];
        for (key, table) in tables {
            let entry = document.entry(table).or_insert_with(|| Value::Table(Table::new()));
            if let (Some(value), Value::Table(entry)) = (changed.remove(key), entry) {
                entry.insert(name.clone(), value);
            }
        }
    }
    Ok(())
}

fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

fn refused(message: String) -> Failure {
    Failure::Request(anyhow::anyhow!(message))
}
