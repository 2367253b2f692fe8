//! `tests/mutants.json`: for each package the least score, and the mutants that change nothing, each
//! with the reason.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::outcome::Mutant;

/// What is kept.
#[derive(Debug)]
pub struct Kept {
    packages: HashMap<String, Package>,
}

#[derive(Debug)]
struct Package {
    least_percent: f64,
    equivalent: Vec<Equivalent>,
}

/// A change that no test can notice. It is known by the text of its line, as numbers of lines
/// change all the time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Equivalent {
    file: String,
    code: String,
    change: String,
}

impl Kept {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let context = || format!("cannot read {}", path.display());
        let text = fs::read_to_string(path).with_context(context)?;
        Self::parse(&text).with_context(context)
    }

    fn parse(text: &str) -> Result<Self> {
        let all: Value = serde_json::from_str(text)?;
        let packages = all.as_object().context("expected an object")?;
        let packages = packages
            .iter()
            .map(|(name, package)| Ok((name.clone(), Package::parse(package)?)));
        Ok(Self {
            packages: packages.collect::<Result<_>>()?,
        })
    }

    /// The least score of a package.
    pub fn least_percent(&self, package: &str) -> Result<f64> {
        Ok(self.package(package)?.least_percent)
    }

    /// How many of the missed are known to change nothing, and the others. The sources are below
    /// `root`.
    pub fn sort_out(
        &self,
        package: &str,
        missed: &[Mutant],
        root: &Path,
    ) -> Result<(usize, Vec<Mutant>)> {
        let known = &self.package(package)?.equivalent;
        let mut others = Vec::new();
        for mutant in missed {
            let source = fs::read_to_string(root.join(&mutant.file))
                .with_context(|| format!("cannot read {}", mutant.file))?;
            let code = source.lines().nth(mutant.line.saturating_sub(1));
            let this = Equivalent {
                file: mutant.file.clone(),
                code: code.unwrap_or_default().trim().to_owned(),
                change: mutant.change.clone(),
            };
            if !known.contains(&this) {
                others.push(mutant.clone());
            }
        }
        Ok((missed.len() - others.len(), others))
    }

    fn package(&self, name: &str) -> Result<&Package> {
        self.packages
            .get(name)
            .with_context(|| format!("nothing is kept of {name}"))
    }
}

impl Package {
    fn parse(value: &Value) -> Result<Self> {
        let least = value.get("least_percent").and_then(Value::as_f64);
        let equivalent = value.get("equivalent").and_then(Value::as_array);
        Ok(Self {
            least_percent: least.context("least_percent is missing")?,
            equivalent: equivalent
                .context("equivalent is missing")?
                .iter()
                .map(Equivalent::parse)
                .collect::<Result<_>>()?,
        })
    }
}

impl Equivalent {
    fn parse(value: &Value) -> Result<Self> {
        let text = |member: &str| {
            let text = value.get(member).and_then(Value::as_str);
            let text = text.with_context(|| format!("no \"{member}\" in {value}"))?;
            ensure!(!text.is_empty(), "an empty \"{member}\" in {value}");
            Ok(text.to_owned())
        };
        // For people; a mutant without one is an excuse.
        let _why: String = text("why")?;
        Ok(Self {
            file: text("file")?,
            code: text("code")?,
            change: text("change")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use talkspurt_testkit::workspace;

    use super::*;

    const KEPT: &str = r#"{"p": {"least_percent": 96.5, "equivalent": [{
        "file": "a.rs",
        "code": "if level > 0 {",
        "change": "replace > with >= in f",
        "why": "nothing is done with 0"
    }]}}"#;

    #[test]
    fn what_changes_nothing_is_known_by_its_line_wherever_that_is() {
        let dir = tempfile::tempdir().unwrap();
        let source = "\n\n    if level > 0 {\n    if level > 1 {\n";
        fs::write(dir.path().join("a.rs"), source).unwrap();
        fs::write(dir.path().join("b.rs"), source).unwrap();
        let kept = Kept::parse(KEPT).unwrap();
        let missed = [
            "a.rs:3:14: replace > with >= in f",
            "a.rs:4:14: replace > with >= in f",
            "b.rs:3:14: replace > with >= in f",
            "a.rs:3:14: replace > with == in f",
        ];
        let missed = missed.map(|text| Mutant::parse(text).unwrap());
        let (equivalent, others) = kept.sort_out("p", &missed, dir.path()).unwrap();
        assert_eq!((equivalent, others.len(), others[0].line), (1, 3, 4));
        assert!((kept.least_percent("p").unwrap() - 96.5).abs() < 1e-9);
        assert!(kept.least_percent("q").is_err());
    }

    #[test]
    fn an_equivalent_needs_a_reason() {
        let without = KEPT.replace("nothing is done with 0", "");
        let error = format!("{:#}", Kept::parse(&without).unwrap_err());
        assert!(error.contains("why"), "{error}");
    }

    #[test]
    fn the_kept_file_can_be_read_and_its_equivalents_still_exist() {
        let kept = Kept::read(&workspace::root().join("tests/mutants.json")).unwrap();
        for name in ["talkspurt-core", "talkspurt-hub", "talkspurt-server"] {
            assert!(kept.least_percent(name).unwrap() >= 96.0);
            for equivalent in &kept.package(name).unwrap().equivalent {
                let source = fs::read_to_string(workspace::root().join(&equivalent.file)).unwrap();
                let exists = source.lines().any(|line| line.trim() == equivalent.code);
                assert!(exists, "{equivalent:?} is gone: take it out");
            }
        }
    }
}
