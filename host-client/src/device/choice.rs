//! Which device to use: the default one, or one by name or number.

use super::{
    Direction,
    stream::{describe, preferred, quietly},
};
use crate::stderr::muffled;
use cpal::traits::{DeviceTrait as _, HostTrait as _};

/// A device as the user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The system's default.
    Default,
    /// The number in `talkspurt devices`, from 1.
    Number(usize),
    /// Its name or id, or a part of the name that no other device has. Case does not matter.
    Name(String),
}

impl DeviceChoice {
    /// Parses a flag that may be missing.
    #[must_use]
    pub fn parse(flag: Option<&str>) -> Self {
        match flag.map(str::trim) {
            None | Some("") => Self::Default,
            Some(text) => text
                .parse()
                .map_or_else(|_| Self::Name(text.to_owned()), Self::Number),
        }
    }
}

/// One line of `talkspurt devices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What the system calls it.
    pub name: String,
    /// How the sound system addresses it.
    pub id: String,
    /// Whether it is the system's default.
    pub is_default: bool,
    /// Rate, channels and format; or why it cannot be opened.
    pub format: Result<String, String>,
}

/// Lists all devices of one direction, in the order of their numbers, from 1.
pub fn list(direction: Direction) -> Result<Vec<DeviceInfo>, String> {
    let probe = || {
        let host = cpal::default_host();
        let default = default_device(&host, direction).and_then(|device| device.id().ok());
        let devices = all(&host, direction)?;
        let info = devices.into_iter().map(|device| {
            let (name, id) = names(&device);
            let format = preferred(&device, direction)
                .map(|config| describe(&config))
                .map_err(|error| error.to_string());
            let is_default = default.is_some() && device.id().ok() == default;
            DeviceInfo {
                name,
                id,
                is_default,
                format,
            }
        });
        Ok(info.collect())
    };
    muffled(|| quietly(probe))
}

/// Finds the chosen device. The error says which devices exist.
pub(super) fn find(
    host: &cpal::Host,
    direction: Direction,
    choice: &DeviceChoice,
) -> Result<cpal::Device, String> {
    if *choice == DeviceChoice::Default {
        return default_device(host, direction)
            .ok_or_else(|| format!("this machine has no {direction}"));
    }
    let mut devices = all(host, direction)?;
    let names: Vec<_> = devices.iter().map(names).collect();
    let index = pick(&names, choice)
        .map_err(|problem| format!("{direction}: {problem}; see `talkspurt devices`"))?;
    Ok(devices.swap_remove(index))
}

fn default_device(host: &cpal::Host, direction: Direction) -> Option<cpal::Device> {
    match direction {
        Direction::Input => host.default_input_device(),
        Direction::Output => host.default_output_device(),
    }
}

fn all(host: &cpal::Host, direction: Direction) -> Result<Vec<cpal::Device>, String> {
    let devices = match direction {
        Direction::Input => host.input_devices().map(Iterator::collect),
        Direction::Output => host.output_devices().map(Iterator::collect),
    };
    devices.map_err(|error| format!("the sound system does not list its devices: {error}"))
}

/// Returns the first line of a device's description, and its id.
pub(super) fn names(device: &cpal::Device) -> (String, String) {
    let id = device.id().map(|id| id.id().to_owned()).unwrap_or_default();
    let text = device.to_string();
    let name = text.lines().next().unwrap_or_default().trim();
    let name = if name.is_empty() { &id } else { name };
    (name.to_owned(), id)
}

/// Returns the index of the chosen device among `(name, id)` pairs.
fn pick(names: &[(String, String)], choice: &DeviceChoice) -> Result<usize, String> {
    match choice {
        DeviceChoice::Default => Ok(0),
        DeviceChoice::Number(number) if (1..=names.len()).contains(number) => Ok(number - 1),
        DeviceChoice::Number(number) => Err(format!(
            "there is no device {number}, only 1 to {}",
            names.len()
        )),
        DeviceChoice::Name(wanted) => {
            let wanted = wanted.to_lowercase();
            let same = |text: &String| text.to_lowercase() == wanted;
            if let Some(index) = names.iter().position(|(name, id)| same(id) || same(name)) {
                return Ok(index);
            }
            let is_like = |&index: &usize| names[index].0.to_lowercase().contains(&wanted);
            let mut like = (0..names.len()).filter(is_like);
            match (like.next(), like.next()) {
                (Some(index), None) => Ok(index),
                (Some(_), Some(_)) => Err(format!("`{wanted}` matches several devices")),
                (None, _) => Err(format!("no device is called `{wanted}`")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_devices() {
        assert_eq!(DeviceChoice::parse(None), DeviceChoice::Default);
        assert_eq!(DeviceChoice::parse(Some(" 2 ")), DeviceChoice::Number(2));
        assert_eq!(
            DeviceChoice::parse(Some("USB")),
            DeviceChoice::Name("USB".into())
        );
    }

    #[test]
    fn a_device_is_found_by_number_name_id_or_part_of_its_name() {
        let names: Vec<_> = [
            ("USB Headset", "hw:1"),
            ("Built-in Audio", "hw:0"),
            ("USB Camera", "hw:2"),
        ]
        .map(|(name, id)| (name.to_owned(), id.to_owned()))
        .into();
        let by = |text: &str| pick(&names, &DeviceChoice::parse(Some(text)));
        assert_eq!(
            (by("2"), by("hw:2"), by("usb headset"), by("camera")),
            (Ok(1), Ok(2), Ok(0), Ok(2))
        );
        for (text, part) in [
            ("4", "1 to 3"),
            ("0", "no device 0"),
            ("usb", "several"),
            ("banjo", "no device is called"),
        ] {
            let problem = by(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }
}
