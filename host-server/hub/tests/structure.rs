//! How the hub's files depend on each other.

use std::collections::BTreeMap;
use std::fs;

/// Each file's code, by the name that others import it by.
fn files() -> BTreeMap<String, String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        let module = name.strip_suffix(".rs").filter(|name| *name != "lib")?;
        let source = fs::read_to_string(entry.path()).unwrap();
        let code = source.split("#[cfg(test)]\nmod ").next().unwrap();
        Some((module.to_owned(), code.to_owned()))
    });
    files.collect()
}

/// Whether code names a module of the crate.
fn imports(code: &str, module: &str) -> bool {
    let mut named = code.split("crate::").skip(1);
    named.any(|rest| {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        rest.split(|c| !is_word(c)).next() == Some(module)
    })
}

#[test]
fn a_module_is_imported_by_its_whole_name() {
    for (code, expected) in [
        ("use crate::room::Room;", true),
        ("crate::room;", true),
        ("use crate::room_list::Rooms;", false),
        ("use other::room;", false),
    ] {
        assert_eq!(imports(code, "room"), expected, "{code}");
    }
}

#[test]
fn files_import_each_other_in_no_circle() {
    let mut files = files();
    assert!(files.len() > 15, "the test sees the files");
    for (name, code) in &files {
        let unseen = ["super::", "crate::{"]
            .into_iter()
            .find(|import| code.contains(import));
        assert_eq!(
            unseen, None,
            "{name}: this test sees `use crate::module` only"
        );
    }
    // Files that import none of the others are taken out until none is left.
    while let Some(lowest) = files.iter().find_map(|(name, code)| {
        let is_met = |other: &String| other != name && imports(code, other);
        (!files.keys().any(is_met)).then(|| name.clone())
    }) {
        files.remove(&lowest);
    }
    let circle: Vec<_> = files.into_keys().collect();
    assert_eq!(circle, [""; 0], "a circle, and what imports it");
}
