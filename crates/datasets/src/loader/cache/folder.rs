//! Where caches lie if nobody says otherwise.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// The folder for cache files: `REGULUS_CACHE`, or `regulus` in the cache folder of the user. `None` where the
/// environment names neither.
pub fn default_folder() -> Option<PathBuf> {
    choose(|name| env::var_os(name).filter(|value| !value.is_empty()))
}

fn choose(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| variable(name).map(PathBuf::from);
    let of_user = || {
        let windows = || folder("LOCALAPPDATA").filter(|_| cfg!(windows));
        let home = || folder("HOME").map(|home| home.join(".cache"));
        folder("XDG_CACHE_HOME").or_else(windows).or_else(home).map(|caches| caches.join("regulus"))
    };
    folder("REGULUS_CACHE").or_else(of_user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_variable_wins() {
        let chosen = |set: &[(&str, &str)]| {
            choose(|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            })
        };
        let [own, xdg, home] = [("REGULUS_CACHE", "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")];
        assert_eq!(chosen(&[home, xdg, own]), Some("/a".into()));
        assert_eq!(chosen(&[home, xdg]), Some("/b/regulus".into()));
        assert_eq!(chosen(&[home]), Some("/c/.cache/regulus".into()));
        assert_eq!(chosen(&[]), None);
    }
}
