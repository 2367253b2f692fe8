//! What cargo-mutants wrote about a run: lists of mutants, one a line.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// A change in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// From the workspace's directory.
    pub file: String,
    /// From 1 on.
    pub line: usize,
    /// `replace > with >= in Gate::push`.
    pub change: String,
    column: usize,
}

impl Mutant {
    /// Reads `FILE:LINE:COLUMN: CHANGE`.
    pub fn parse(text: &str) -> Option<Self> {
        let (place, change) = text.split_once(": ")?;
        let mut place = place.rsplitn(3, ':');
        let column = place.next()?.parse().ok()?;
        let line = place.next()?.parse().ok()?;
        Some(Self {
            file: place.next()?.to_owned(),
            line,
            column,
            change: change.trim().to_owned(),
        })
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            change,
        } = self;
        write!(f, "{file}:{line}:{column}: {change}")
    }
}

/// How the mutants of one or several runs ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// A test failed.
    pub caught: usize,
    /// The tests came to no end, or the compiler did: that is noticed as well.
    pub timeouts: usize,
    /// They did not compile.
    pub unviable: usize,
    /// All tests passed.
    pub missed: Vec<Mutant>,
}

impl Outcome {
    /// Adds the results in a directory that was cargo-mutants' `--output`. Where nothing was to be
    /// tested there are none.
    pub fn add(&mut self, directory: &Path) -> Result<()> {
        let results = directory.join("mutants.out");
        self.caught += lines(&results.join("caught.txt"))?.len();
        self.timeouts += lines(&results.join("timeout.txt"))?.len();
        self.unviable += lines(&results.join("unviable.txt"))?.len();
        for text in lines(&results.join("missed.txt"))? {
            match Mutant::parse(&text) {
                Some(mutant) => self.missed.push(mutant),
                None => bail!("cargo-mutants writes a line that cannot be read: {text}"),
            }
        }
        Ok(())
    }
}

fn lines(path: &Path) -> Result<Vec<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_is_read_and_shown_alike() {
        let text = "core/src/time.rs:84:9: replace <impl Add for T>::add -> Self with ()";
        let mutant = Mutant::parse(text).unwrap();
        assert_eq!(
            (mutant.file.as_str(), mutant.line),
            ("core/src/time.rs", 84)
        );
        assert!(mutant.change.starts_with("replace <impl Add"));
        assert_eq!(mutant.to_string(), text);
        assert_eq!(Mutant::parse("nothing of that kind"), None);
    }

    #[test]
    fn results_add_up_and_missing_lists_are_empty() {
        let dir = tempfile::tempdir().unwrap();
        let results = dir.path().join("mutants.out");
        fs::create_dir(&results).unwrap();
        fs::write(results.join("caught.txt"), "a\nb\n").unwrap();
        fs::write(
            results.join("missed.txt"),
            "core/src/a.rs:1:2: replace x with y\n",
        )
        .unwrap();
        fs::write(results.join("timeout.txt"), "c\n").unwrap();
        fs::write(results.join("unviable.txt"), "d\ne\nf\n").unwrap();
        let mut outcome = Outcome::default();
        outcome.add(dir.path()).unwrap();
        outcome.add(dir.path()).unwrap();
        outcome.add(&dir.path().join("absent")).unwrap();
        assert_eq!(
            (outcome.caught, outcome.timeouts, outcome.unviable),
            (4, 2, 6)
        );
        assert_eq!(outcome.missed.len(), 2);
        fs::write(results.join("missed.txt"), "?\n").unwrap();
        assert!(outcome.add(dir.path()).is_err());
    }
}
