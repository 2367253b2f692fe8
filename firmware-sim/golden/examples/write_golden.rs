//! Writes the vectors of new scenarios: those whose file in `vectors/` is empty (`touch` it first).
//! Never changes the others.

use std::{env, fs, io, path::Path};

use talkspurt_golden::SCENARIOS;

fn main() -> io::Result<()> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.is_new()) {
        let mut bytes = Vec::new();
        scenario.run(&mut |more| bytes.extend_from_slice(more));
        let path = vectors.join(scenario.name).with_extension("bin");
        fs::write(&path, &bytes)?;
        println!("{}: {} bytes", path.display(), bytes.len());
    }
    Ok(())
}
