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

#[test]
fn files_import_each_other_in_no_circle() {
    let mut files = files();
    assert!(files.len() > 15, "the test sees the files");
    // Files that import none of the others are taken out until none is left.
    while let Some(lowest) = files.iter().find_map(|(name, code)| {
        let imports = |other: &String| other != name && code.contains(&format!("crate::{other}"));
        (!files.keys().any(imports)).then(|| name.clone())
    }) {
        files.remove(&lowest);
    }
    let circle: Vec<_> = files.into_keys().collect();
    assert_eq!(circle, [""; 0], "a circle, and what imports it");
}
