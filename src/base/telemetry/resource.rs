//! Resource attributes: the service, the process and the host.

use opentelemetry::KeyValue;
use opentelemetry_resource_detectors::{
    ContainerResourceDetector, HostResourceDetector, K8sResourceDetector, OsResourceDetector,
    ProcessResourceDetector, ServiceInstanceIdResourceDetector,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{ResourceDetector, SdkProvidedResourceDetector};

use super::config::Detector;

/// Attributes that are never exported, because arguments may contain secrets.
const EXCLUDED: [&str; 2] = ["process.command_args", "process.command_line"];

/// Precedence: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, then the detectors, then our
/// defaults.
pub(super) fn detect(detectors: &[Detector]) -> Resource {
    // In the SDK OTEL_RESOURCE_ATTRIBUTES takes precedence over OTEL_SERVICE_NAME, contrary to the
    // specification, so the name is read once more, last.
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
    attributes.retain(|kv| !EXCLUDED.contains(&kv.key.as_str()));
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
    fn the_process_is_named_and_its_arguments_are_not_exported() {
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
