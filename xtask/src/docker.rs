//! `cargo xtask docker`: the server's image, from base images that are pulled or made here, and its
//! size.

use anyhow::{Result, ensure};
use talkspurt_testkit::docker::{Docker, IMAGE, IMAGE_LIMIT_BYTES, Progress};

use crate::report::{Steps, Verdict};
use crate::setup::{Purpose, ensure_for};

/// `cargo xtask docker`.
pub fn run() -> Result<Verdict> {
    ensure_for(&[Purpose::Docker])?;
    let docker = Docker::ready()?;
    let mut steps = Steps::default();
    steps.run("base images", || docker.ensure_base_images(Progress::Shown));
    steps.run("image", || docker.build_image(Progress::Shown));
    steps.run("size", || {
        let bytes = docker.image_bytes(IMAGE)?;
        let [size, limit] = [bytes, IMAGE_LIMIT_BYTES].map(|bytes| bytes as f64 / 1e6);
        println!("{IMAGE}: {size:.1} MB of {limit:.0} MB");
        ensure!(
            bytes < IMAGE_LIMIT_BYTES,
            "{size:.1} MB, and {limit:.0} MB are the limit"
        );
        Ok(())
    });
    let verdict = steps.finish();
    if verdict == Verdict::Good {
        println!("Run it:  docker run --rm --read-only --cap-drop=ALL -p 8255:8255 {IMAGE}");
    }
    Ok(verdict)
}
