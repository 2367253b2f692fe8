//! The older of the two formats that Prometheus reads: text, version 0.0.4. It is made from the
//! newer one, OpenMetrics.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text 0.0.4: the default, because people and their tools can read it, too.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Returns the format that an `Accept` header asks for.
    pub fn accepted(accept: &str) -> Self {
        let preference = |media_type: &str| {
            let wanted = accept.split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let is_it = parts.next()?.eq_ignore_ascii_case(media_type);
                let q = parts
                    .find_map(|part| part.strip_prefix("q="))
                    .unwrap_or("1");
                is_it.then(|| q.parse().unwrap_or(0.0))
            });
            wanted.fold(0.0_f32, f32::max)
        };
        let open_metrics = preference("application/openmetrics-text");
        if open_metrics > 0.0 && open_metrics >= preference("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Returns the content type of a page.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Translates a page. In OpenMetrics a counter is named without the `_total` of its sample, and an
/// info without its `_info`. Here the name is that of the sample, and an info is a gauge.
pub fn from_open_metrics(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let kinds: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    for line in page.lines() {
        // Writing to a String cannot fail.
        let _ = match line
            .strip_prefix("# ")
            .and_then(|comment| comment.split_once(' '))
        {
            None if line == "# EOF" => Ok(()),
            None => writeln!(text, "{line}"),
            Some(("UNIT", _)) => Ok(()),
            Some((what, rest)) => {
                let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let (suffix, kind) = match kinds.get(name).copied() {
                    Some("counter") => ("_total", "counter"),
                    Some("info") => ("_info", "gauge"),
                    Some("unknown") => ("", "untyped"),
                    kind => ("", kind.unwrap_or("untyped")),
                };
                let rest = if what == "TYPE" { kind } else { rest };
                writeln!(text, "# {what} {name}{suffix} {rest}")
            }
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_samples() {
        let page = "# HELP t_rooms Rooms with someone in them.\n# TYPE t_rooms gauge\nt_rooms 1\n\
                    # HELP t_in Packets.\n# TYPE t_in counter\nt_in_total 2\n\
                    # HELP t_mix_seconds Time.\n# TYPE t_mix_seconds histogram\n\
                    # UNIT t_mix_seconds seconds\nt_mix_seconds_bucket{le=\"+Inf\"} 3\n\
                    # HELP t_build Version.\n# TYPE t_build info\n\
                    t_build_info{version=\"1\"} 1\n# EOF\n";
        let text = "# HELP t_rooms Rooms with someone in them.\n# TYPE t_rooms gauge\nt_rooms 1\n\
                    # HELP t_in_total Packets.\n# TYPE t_in_total counter\nt_in_total 2\n\
                    # HELP t_mix_seconds Time.\n# TYPE t_mix_seconds histogram\n\
                    t_mix_seconds_bucket{le=\"+Inf\"} 3\n\
                    # HELP t_build_info Version.\n# TYPE t_build_info gauge\n\
                    t_build_info{version=\"1\"} 1\n";
        assert_eq!(from_open_metrics(page), text);
    }

    #[test]
    fn open_metrics_is_sent_to_clients_that_ask_for_it_by_name() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [
            prometheus,
            "application/openmetrics-text",
            "text/plain, Application/OpenMetrics-Text",
        ] {
            assert_eq!(Format::accepted(accept), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/plain;version=0.0.4",
            "text/html,*/*;q=0.8",
            "application/openmetrics-text;q=0.1, text/plain; q=0.9",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=x",
        ] {
            assert_eq!(Format::accepted(accept), Format::Text, "{accept}");
        }
    }
}
