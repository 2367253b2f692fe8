//! Whether a recording would overwrite its own input.

use crate::console::Problem;
use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

/// How long to wait for a file system to say what a path is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Refuses a recording that would destroy the file being played.
///
/// # Errors
/// When both are the same file.
pub fn refuse_overwriting(input: &Path, output: &Path) -> Result<(), Problem> {
    match same_file(input, output) {
        false => Ok(()),
        true => Err(Problem::with_flag(
            "--output",
            format_args!(
                "{} is the file that --input plays and would be overwritten; give another one",
                output.display()
            ),
        )),
    }
}

/// Returns whether two paths name the same file, through any names, links or descriptors. Opens
/// neither.
///
/// Devices such as `/dev/null` may be used for both. A path that does not exist, or whose file
/// system does not answer, is not the same as any other.
fn same_file(one: &Path, other: &Path) -> bool {
    // Each in its own thread: asking about a dead mount can block for ever.
    let identities = [one, other].map(|path| {
        let (sender, identity) = mpsc::channel();
        let path = path.to_owned();
        let asked = thread::Builder::new()
            .name("same-file".into())
            .spawn(move || sender.send(identity_of(path)));
        asked.map(|_| identity)
    });
    let [one, other] = identities.map(|identity| {
        let identity = identity.ok()?.recv_timeout(PATIENCE).ok()?;
        identity.ok().flatten()
    });
    one.is_some() && one == other
}

#[cfg(unix)]
fn identity_of(path: PathBuf) -> io::Result<Option<(u64, u64)>> {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let metadata = path.metadata()?;
    let is_device = metadata.file_type().is_char_device();
    Ok((!is_device).then(|| (metadata.dev(), metadata.ino())))
}

#[cfg(not(unix))]
fn identity_of(path: PathBuf) -> io::Result<Option<PathBuf>> {
    path.canonicalize().map(Some)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn links_and_descriptors_are_seen_through() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("x"), "x").unwrap();
        fs::write(path("y"), "x").unwrap();
        fs::hard_link(path("x"), path("hard")).unwrap();
        symlink(path("x"), path("soft")).unwrap();
        symlink(dir.path(), path("folder")).unwrap();
        symlink(path("nothing"), path("dangling")).unwrap();
        let open = fs::File::open(path("x")).unwrap();
        let descriptor = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&open));
        for same in [
            path("x"),
            path("hard"),
            path("soft"),
            path("folder/x"),
            path("./x"),
            descriptor.into(),
        ] {
            assert!(same_file(&path("x"), &same), "{}", same.display());
        }
        for different in [path("y"), path("new"), path("dangling")] {
            assert!(
                !same_file(&path("x"), &different),
                "{}",
                different.display()
            );
        }
        assert!(
            !same_file(&path("new"), &path("new")),
            "there is nothing to destroy"
        );
        assert!(!same_file(Path::new("/dev/null"), Path::new("/dev/null")));
    }
}
