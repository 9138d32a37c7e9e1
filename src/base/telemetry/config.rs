//! The configuration of telemetry, from the OpenTelemetry environment variables.
//!
//! The variables are read through a function, so that tests never touch the process environment.
//! The SDK itself reads OTEL_EXPORTER_OTLP_*, OTEL_BSP_*, OTEL_BLRP_*, the limits and the resource.

use opentelemetry_sdk::trace::Sampler;

use crate::base::config::{SemconvCompat, TelemetrySettings};
use crate::base::error::{Error, Result};

/// The destination of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exporter {
    Otlp,
    /// Standard error; standard output belongs to results.
    Console,
    /// The registry behind `/metrics`.
    Prometheus,
}

/// A detector of resource attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detector {
    Process,
    Os,
    Host,
    Container,
    K8s,
    ServiceInstance,
}

/// The checked configuration of telemetry.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// OTEL_SDK_DISABLED: results and run reports are unaffected.
    pub disabled: bool,
    pub traces: Vec<Exporter>,
    pub metrics: Vec<Exporter>,
    pub logs: Vec<Exporter>,
    /// Decides which traces are exported; reports and the recorder receive all of them.
    pub sampler: Sampler,
    pub propagate_trace: bool,
    pub propagate_baggage: bool,
    /// Maximum length of a text attribute in characters.
    pub value_chars_max: usize,
    pub detectors: Vec<Detector>,
    /// PROMETHEUS_HOST and PROMETHEUS_PORT: address of a second listener for scrapes.
    pub prometheus_address: Option<String>,
    /// Whether spans also carry the older names of attributes.
    pub part2: bool,
    /// Whether requests to `/healthz`, `/readyz` and `/metrics` have spans.
    pub trace_probes: bool,
}

impl Default for TelemetryConfig {
    /// Exports nothing except `/metrics`.
    fn default() -> Self {
        Self {
            disabled: false,
            traces: Vec::new(),
            metrics: vec![Exporter::Prometheus],
            logs: Vec::new(),
            sampler: Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
            propagate_trace: true,
            propagate_baggage: true,
            value_chars_max: 256,
            detectors: Vec::new(),
            prometheus_address: None,
            part2: false,
            trace_probes: false,
        }
    }
}

/// Looks up one variable of the environment.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The allowed words of a variable, each with its value.
type Words<T> = [(&'static str, T)];

const DETECTORS: &Words<Detector> = &[
    ("process", Detector::Process),
    ("os", Detector::Os),
    ("host", Detector::Host),
    ("container", Detector::Container),
    ("k8s", Detector::K8s),
    ("service_instance", Detector::ServiceInstance),
];
const EXPORTERS: &Words<Exporter> = &[("otlp", Exporter::Otlp), ("console", Exporter::Console)];
const METRIC_EXPORTERS: &Words<Exporter> = &[
    ("otlp", Exporter::Otlp),
    ("console", Exporter::Console),
    ("prometheus", Exporter::Prometheus),
];

impl TelemetryConfig {
    /// env: looks up one variable; an empty value counts as unset.
    pub fn read(
        env: impl Fn(&str) -> Option<String>,
        settings: &TelemetrySettings,
    ) -> Result<Self> {
        let env = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        let env: Lookup<'_> = &env;
        let default = Self::default();
        let propagators = list(env, "OTEL_PROPAGATORS", &[("tracecontext", 0), ("baggage", 1)])?;
        let propagates = |which| propagators.as_ref().is_none_or(|list| list.contains(&which));
        Ok(Self {
            disabled: env("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true")),
            traces: exporters(env, "TRACES", EXPORTERS, &[])?,
            metrics: exporters(env, "METRICS", METRIC_EXPORTERS, &[Exporter::Prometheus])?,
            logs: exporters(env, "LOGS", EXPORTERS, &[])?,
            sampler: sampler(env)?,
            propagate_trace: propagates(0),
            propagate_baggage: propagates(1),
            value_chars_max: number(env, "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")?
                .unwrap_or(default.value_chars_max),
            detectors: detectors(env)?,
            prometheus_address: prometheus_address(env)?,
            part2: settings.semconv_compat == SemconvCompat::Part2,
            trace_probes: settings.trace_probes,
        })
    }
}

fn wrong(name: &str, value: &str, expected: String) -> Error {
    Error::ConfigValue {
        name: name.to_owned(),
        value: value.to_owned(),
        origin: "the environment".to_owned(),
        expected,
    }
}

/// A comma list of words; `none` is the empty list. `None` when the variable is not set.
fn list<T: Copy>(env: Lookup<'_>, name: &str, words: &Words<T>) -> Result<Option<Vec<T>>> {
    let Some(value) = env(name) else { return Ok(None) };
    let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty() && *part != "none");
    let known = |part: &str| words.iter().find(|(word, _)| *word == part).map(|(_, means)| *means);
    let means = parts.map(|part| {
        known(part).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            wrong(name, part, format!("a comma list of {}, none", words.join(", ")))
        })
    });
    means.collect::<Result<_>>().map(Some)
}

/// The exporters of one signal. If its variable is unset: `usual`, and OTLP if an endpoint is set.
fn exporters(
    env: Lookup<'_>,
    signal: &str,
    words: &Words<Exporter>,
    usual: &[Exporter],
) -> Result<Vec<Exporter>> {
    if let Some(asked) = list(env, &format!("OTEL_{signal}_EXPORTER"), words)? {
        return Ok(asked);
    }
    let endpoints =
        ["OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")];
    let otlp = endpoints.iter().any(|name| env(name).is_some()).then_some(Exporter::Otlp);
    Ok(usual.iter().copied().chain(otlp).collect())
}

fn number<T: std::str::FromStr>(env: Lookup<'_>, name: &str) -> Result<Option<T>> {
    let Some(value) = env(name) else { return Ok(None) };
    value.trim().parse().map(Some).map_err(|_| wrong(name, &value, "a whole number".to_owned()))
}

fn sampler(env: Lookup<'_>) -> Result<Sampler> {
    const NAME: &str = "OTEL_TRACES_SAMPLER";
    const ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
    let Some(name) = env(NAME) else { return Ok(TelemetryConfig::default().sampler) };
    let ratio = || match env(ARG) {
        None => Ok(Sampler::TraceIdRatioBased(1.0)),
        Some(text) => match text.trim().parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Sampler::TraceIdRatioBased(ratio)),
            _ => Err(wrong(ARG, &text, "a number from 0 to 1".to_owned())),
        },
    };
    let (by_parent, root) = match name.trim().strip_prefix("parentbased_") {
        Some(root) => (true, root),
        None => (false, name.trim()),
    };
    let root = match root {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => ratio()?,
        _ => {
            let expected =
                "always_on, always_off, traceidratio, each also with parentbased_ before it";
            return Err(wrong(NAME, &name, expected.to_owned()));
        }
    };
    Ok(if by_parent { Sampler::ParentBased(Box::new(root)) } else { root })
}

/// The configured detectors, by default all; the one for Kubernetes only inside a cluster.
fn detectors(env: Lookup<'_>) -> Result<Vec<Detector>> {
    let all = || DETECTORS.iter().map(|(_, detector)| *detector).collect();
    let mut detectors = list(env, "OTEL_RESOURCE_DETECTORS", DETECTORS)?.unwrap_or_else(all);
    if env("KUBERNETES_SERVICE_HOST").is_none() {
        detectors.retain(|detector| *detector != Detector::K8s);
    }
    Ok(detectors)
}

fn prometheus_address(env: Lookup<'_>) -> Result<Option<String>> {
    let (host, port) = (env("PROMETHEUS_HOST"), number::<u16>(env, "PROMETHEUS_PORT")?);
    if host.is_none() && port.is_none() {
        return Ok(None);
    }
    let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
    Ok(Some(format!("{host}:{}", port.unwrap_or(9464))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(env: &[(&str, &str)]) -> Result<TelemetryConfig> {
        let lookup = |name: &str| env.iter().find(|(k, _)| *k == name).map(|(_, v)| v.to_string());
        TelemetryConfig::read(lookup, &TelemetrySettings::default())
    }

    #[test]
    fn nothing_is_exported_until_somebody_asks() {
        let config = read(&[]).unwrap();
        assert_eq!((&config.traces, &config.logs), (&vec![], &vec![]));
        assert_eq!(config.metrics, [Exporter::Prometheus]);
        assert!(config.propagate_trace && config.propagate_baggage && !config.disabled);
        assert_eq!((config.value_chars_max, config.prometheus_address), (256, None));
        assert!(!config.detectors.contains(&Detector::K8s));
        assert_eq!(config.detectors.len(), 5);
    }

    #[test]
    fn an_endpoint_switches_otlp_on_for_the_signals_it_serves() {
        let all = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")]).unwrap();
        assert_eq!((all.traces, all.logs), (vec![Exporter::Otlp], vec![Exporter::Otlp]));
        assert_eq!(all.metrics, [Exporter::Prometheus, Exporter::Otlp]);
        let one = read(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://x:1")]).unwrap();
        assert_eq!((one.traces, one.logs), (vec![Exporter::Otlp], vec![]));
        let off = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "otlp, console"),
        ])
        .unwrap();
        assert_eq!(off.traces, []);
        assert_eq!(off.metrics, [Exporter::Otlp, Exporter::Console]);
    }

    #[test]
    fn a_word_that_is_not_known_is_an_error_with_those_that_are() {
        for (name, value, part) in [
            ("OTEL_TRACES_EXPORTER", "zipkin", "otlp, console, none"),
            ("OTEL_LOGS_EXPORTER", "prometheus", "otlp, console, none"),
            ("OTEL_METRICS_EXPORTER", "otlp,graphite", "prometheus"),
            ("OTEL_PROPAGATORS", "b3", "tracecontext, baggage, none"),
            ("OTEL_TRACES_SAMPLER", "sometimes", "parentbased_"),
            ("OTEL_RESOURCE_DETECTORS", "weather", "service_instance"),
            ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "long", "a whole number"),
            ("PROMETHEUS_PORT", "99999", "a whole number"),
        ] {
            let message = read(&[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(part), "{message}");
        }
        let ratio = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")];
        assert!(read(&ratio).unwrap_err().to_string().contains("0 to 1"));
    }

    #[test]
    fn words_mean_what_the_specification_says() {
        let disabled = |value| read(&[("OTEL_SDK_DISABLED", value)]).unwrap().disabled;
        assert_eq!([disabled("TRUE"), disabled("1"), disabled("yes")], [true, false, false]);
        let none = read(&[("OTEL_PROPAGATORS", "none")]).unwrap();
        assert!(!none.propagate_trace && !none.propagate_baggage);
        let one = read(&[("OTEL_PROPAGATORS", "baggage")]).unwrap();
        assert!(!one.propagate_trace && one.propagate_baggage);
        let sampler = |name, arg| {
            let env = [("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", arg)];
            format!("{:?}", read(&env).unwrap().sampler)
        };
        assert_eq!(sampler("always_off", ""), "AlwaysOff");
        let tenth = sampler("parentbased_traceidratio", "0.1");
        assert_eq!(tenth, "ParentBased(TraceIdRatioBased(0.1))");
        let k8s = read(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]).unwrap();
        assert!(k8s.detectors.contains(&Detector::K8s));
        let listener = |env: &[_]| read(env).unwrap().prometheus_address;
        assert_eq!(listener(&[("PROMETHEUS_PORT", "9")]).unwrap(), "127.0.0.1:9");
        assert_eq!(listener(&[("PROMETHEUS_HOST", "0.0.0.0")]).unwrap(), "0.0.0.0:9464");
    }
}
