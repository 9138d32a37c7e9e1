//! Which process on which machine is this?

use opentelemetry::KeyValue;
use opentelemetry_resource_detectors::{
    ContainerResourceDetector, HostResourceDetector, K8sResourceDetector, OsResourceDetector,
    ProcessResourceDetector, ServiceInstanceIdResourceDetector,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{ResourceDetector, SdkProvidedResourceDetector};

use super::config::Detector;

/// Arguments may hold what nobody else should read.
const NEVER: [&str; 2] = ["process.command_args", "process.command_line"];

/// What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say, before what the detectors find, before
/// our own defaults.
pub(super) fn detect(detectors: &[Detector]) -> Resource {
    // The SDK lets OTEL_RESOURCE_ATTRIBUTES win over OTEL_SERVICE_NAME; the specification has it the
    // other way round, so the name is asked for once more, last.
    let named = Resource::builder().with_detector(Box::new(SdkProvidedResourceDetector)).build();
    let unnamed = named
        .get(&"service.name".into())
        .is_none_or(|name| name.as_str().starts_with("unknown_service"));
    let mut attributes: Vec<KeyValue> =
        [("service.namespace", "kgfoundry"), ("service.version", env!("CARGO_PKG_VERSION"))]
            .map(|(key, value)| KeyValue::new(key, value))
            .to_vec();
    for detector in detectors {
        let found = detector.find().detect();
        attributes
            .extend(found.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
    }
    attributes.retain(|kv| !NEVER.contains(&kv.key.as_str()));
    let given = named.iter().filter(|(key, _)| !(unnamed && key.as_str() == "service.name"));
    attributes.extend(given.map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
    if unnamed {
        attributes.push(KeyValue::new("service.name", "codeintel-mcp"));
    }
    Resource::builder_empty().with_attributes(attributes).build()
}

impl Detector {
    fn find(self) -> Box<dyn ResourceDetector> {
        match self {
            Self::Process => Box::new(ProcessResourceDetector),
            Self::Os => Box::new(OsResourceDetector),
            Self::Host => Box::new(HostResourceDetector::default()),
            Self::Container => Box::new(ContainerResourceDetector),
            Self::K8s => Box::new(K8sResourceDetector),
            Self::ServiceInstance => Box::new(ServiceInstanceIdResourceDetector),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_named_and_its_arguments_are_not_told() {
        let all = [
            Detector::Process,
            Detector::Os,
            Detector::Host,
            Detector::Container,
            Detector::ServiceInstance,
        ];
        let resource = detect(&all);
        let get = |key: &'static str| resource.get(&key.into()).map(|value| value.to_string());
        assert_eq!(get("service.name").as_deref(), Some("codeintel-mcp"));
        assert_eq!(get("service.namespace").as_deref(), Some("kgfoundry"));
        assert_eq!(get("service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(get("process.pid"), Some(std::process::id().to_string()));
        assert!(get("service.instance.id").is_some() && get("os.type").is_some());
        assert_eq!(get("process.command_args"), None);
    }
}
