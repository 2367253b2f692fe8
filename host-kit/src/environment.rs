//! What a program is started with: flags, variables that set flags, and `RUST_LOG`.
//!
//! A compose file or a unit file often sets a variable to nothing (`TALKSPURT_HTTP=${HTTP}`).
//! [`parse`] takes that for the default, as a shell's `${NAME:-default}` does. [`start_log`] reads
//! `RUST_LOG` and reports what is wrong with it.

use std::env::VarError;
use std::ffi::OsString;
use std::io::Write as _;

use crate::console::{self, Log, LogFormat, OutputError};
use clap::{Arg, Command, Error, Parser};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Parses the command line. An empty variable counts as unset. Exits as clap does: code 2 after a
/// wrong flag, 0 after `--help`; but code 1 and a message if the help cannot be written.
pub fn parse<T: Parser>() -> T {
    try_parse_from(std::env::args_os()).unwrap_or_else(|error| {
        if error.use_stderr() {
            error.exit();
        }
        let printed = error.print().and_then(|()| std::io::stdout().flush());
        let outcome = printed.map_err(|error| OutputError::from(error).into());
        let code = console::exit_code(T::command().get_name(), outcome);
        std::process::exit(code.into())
    })
}

/// Parses this command line as [`parse`] does.
///
/// # Errors
/// Clap's own: a wrong flag or variable, or the help that was asked for.
pub fn try_parse_from<T: Parser>(
    line: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<T, Error> {
    let mut command = without_empty_variables(T::command());
    let matches = command.try_get_matches_from_mut(line);
    matches
        .and_then(|mut matches| T::from_arg_matches_mut(&mut matches))
        .map_err(|error| error.format(&mut command))
}

/// Returns the command without its empty variables, subcommands included.
fn without_empty_variables(command: Command) -> Command {
    command
        .mut_args(without_empty_variable)
        .mut_subcommands(without_empty_variables)
}

fn without_empty_variable(arg: Arg) -> Arg {
    let is_empty = arg
        .get_env()
        .and_then(std::env::var_os)
        .is_some_and(|value| value.is_empty());
    if is_empty {
        arg.env(None::<&'static str>)
    } else {
        arg
    }
}

/// Starts the log on stderr as `RUST_LOG` asks, or with `default`, a valid filter, if that is
/// unset, empty or malformed. What is wrong with it is the first line of the log.
///
/// # Panics
/// When a log was started before.
#[must_use]
pub fn start_log(default: &str, format: LogFormat) -> Log {
    let filter = filter_of(std::env::var(EnvFilter::DEFAULT_ENV), default);
    let complaint = filter.as_ref().err().cloned();
    let log = console::start_log(filter.unwrap_or_else(|_| EnvFilter::new(default)), format);
    if let Some(complaint) = complaint {
        tracing::warn!("{complaint}");
    }
    log
}

/// The filter that `RUST_LOG` asks for, or the default; the error says what is wrong with it.
fn filter_of(variable: Result<String, VarError>, default: &str) -> Result<EnvFilter, String> {
    let (text, what) = match variable {
        Err(VarError::NotPresent) => return Ok(EnvFilter::new(default)),
        Err(VarError::NotUnicode(value)) => (
            value.to_string_lossy().into_owned(),
            "it is not UTF-8".to_owned(),
        ),
        Ok(text) if text.trim().is_empty() => return Ok(EnvFilter::new(default)),
        Ok(text) => match filter(&text) {
            Ok(filter) => return Ok(filter),
            Err(what) => (text, what),
        },
    };
    Err(format!(
        "RUST_LOG={text:?} is ignored, {default:?} is used: {what}; \
         expected a level (error, warn, info, debug, trace, off) or MODULE=LEVEL, \
         separated by commas"
    ))
}

/// Parses a filter such as `info` or `talkspurt_client::net=debug`.
///
/// A lone word that is neither a level nor one of this project's modules is refused: `inof` would
/// be taken for a module's name, and nothing else would be logged.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn filter(text: &str) -> Result<EnvFilter, String> {
    for word in text.split(',').map(str::trim) {
        let is_lone = !word.contains(['=', ':', '[']) && !word.starts_with("talkspurt");
        if is_lone && !word.is_empty() && word.parse::<LevelFilter>().is_err() {
            return Err(format!("{word:?} is not a level"));
        }
    }
    EnvFilter::try_new(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        /// `PATH` is set and not empty wherever tests run.
        #[arg(long, env = "PATH", default_value = "default")]
        set: String,
        #[arg(long, env = "TALKSPURT_UNSET_FOR_TESTS", default_value_t = 7)]
        unset: u32,
    }

    #[test]
    fn variables_that_are_set_count() {
        let flags: Flags = try_parse_from(["program"]).unwrap();
        assert_eq!(
            (flags.set, flags.unset),
            (std::env::var("PATH").unwrap(), 7)
        );
        let error = try_parse_from::<Flags>(["program", "--unset", "x"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("'--unset <UNSET>'"), "{error}");
    }

    #[test]
    fn an_invalid_filter_is_reported_and_the_default_used() {
        let complaint = |text: &str| filter_of(Ok(text.to_owned()), "info").err();
        for fine in [
            "",
            " ",
            "debug",
            "off",
            "warn,talkspurt_server=debug",
            "talkspurt_server",
            "DEBUG",
        ] {
            assert_eq!(complaint(fine), None, "{fine:?}");
        }
        for wrong in [
            "talkspurt_server=verbos",
            "info,warning",
            "inof",
            "=",
            "a=b=c",
        ] {
            let text = complaint(wrong).unwrap_or_else(|| panic!("{wrong:?}"));
            assert!(
                text.contains("\"info\" is used") && !text.contains('\n'),
                "{text}"
            );
        }
        let filter = |text: &str| filter_of(Ok(text.to_owned()), "info").unwrap().to_string();
        assert_eq!(
            (filter("warn").as_str(), filter("").as_str()),
            ("warn", "info")
        );
        let foreign = OsString::from("x");
        assert!(
            filter_of(Err(VarError::NotUnicode(foreign)), "info")
                .unwrap_err()
                .contains("UTF-8")
        );
    }
}
