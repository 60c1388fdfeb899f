//! Assignments that files tell.

use std::time::{SystemTime, UNIX_EPOCH};

use nuncio_config::api::endpoint::ClusterLoadAssignment;
use nuncio_config::discovery::{DiscoveryFile, DiscoveryFileError, Resources};
use nuncio_config::{ConfigError, Diagnostic, any};
use nuncio_sdk::ClusterId;

use super::Refused;
use crate::convert;
use crate::info::ClusterInfo;
use crate::manager::ClusterManager;
use crate::stats::{ClusterStats as S, SubscriptionStats};

impl ClusterManager {
    /// Reads the file of a version: when it is added, and when the file is replaced.
    pub(in crate::manager) fn read_assignment(&self, id: ClusterId, serial: u64) {
        let begun = self.with_eds(id, serial, |version, eds| {
            let path = eds.path()?;
            version.stats.inc(S::UPDATE_ATTEMPT);
            Some((path, version.clone()))
        });
        let Some(Some((path, info))) = begun else {
            return;
        };
        let taken =
            DiscoveryFile::read(&path).and_then(|file| match self.take_plain(id, serial, &file) {
                Some(version_info) => Ok(version_info),
                None => self.take_checked(id, serial, &info, &file),
            });
        let version_info = match taken {
            Ok(version_info) => version_info,
            Err(DiscoveryFileError::Unreadable(errors)) => {
                info.stats.inc(S::UPDATE_FAILURE);
                self.not_taken(id, serial, "Filesystem config update failure", &errors);
                return;
            }
            Err(DiscoveryFileError::Rejected(errors)) => {
                self.with_eds(id, serial, |_, eds| {
                    eds.stats.inc(SubscriptionStats::UPDATE_REJECTED);
                });
                self.not_taken(id, serial, "Filesystem config update rejected", &errors);
                return;
            }
        };
        info.stats.inc(S::UPDATE_SUCCESS);
        let version = twox_hash::XxHash64::oneshot(0, version_info.as_bytes());
        info.stats.gauge_set(S::VERSION, version);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_millis() as u64;
        self.with_eds(id, serial, |_, eds| {
            eds.stats.gauge_set(SubscriptionStats::UPDATE_TIME, now);
            eds.version_text.set(&version_info);
        });
        log::debug!(target: "config", "{}: '{}' taken", info.name, path.display());
    }

    /// Takes what most files hold, an assignment without anything unusual or wrong, and returns its version.
    fn take_plain(&self, id: ClusterId, serial: u64, file: &DiscoveryFile) -> Option<String> {
        let resource = file.plain::<ClusterLoadAssignment>()?;
        let (service_name, priorities) = self.wanted(id, serial)?;
        let assignment = convert::encoded_assignment(resource.value, &service_name, priorities)?;
        self.apply_assignment(id, serial, Some(assignment));
        Some(resource.version_info.to_owned())
    }

    /// Takes whatever a file holds, or finds all that is wrong with it.
    fn take_checked(
        &self,
        id: ClusterId,
        serial: u64,
        info: &ClusterInfo,
        file: &DiscoveryFile,
    ) -> Result<String, DiscoveryFileError> {
        let Resources {
            version_info,
            resources,
        } = file.resources()?;
        let result = match resources.as_slice() {
            [] => {
                info.stats.inc(S::UPDATE_EMPTY);
                self.take_assignment(id, serial, None)
            }
            [resource] => any::unpack::<ClusterLoadAssignment>(resource)
                .map_err(|error| Refused(vec![error]))
                .and_then(|assignment| self.take_assignment(id, serial, Some(assignment)))
                .map_err(|Refused(errors)| {
                    let within = |error: ConfigError| error.within("resources[0]");
                    Refused(errors.into_iter().map(within).collect())
                }),
            several => Err(Refused::because(
                "resources",
                format!("Unexpected EDS resource length: {}", several.len()),
            )),
        };
        match result {
            Ok(()) => Ok(version_info),
            Err(Refused(errors)) => Err(DiscoveryFileError::Rejected(file.diagnose(&errors))),
        }
    }

    /// The endpoints stay as they are; who waits for the cluster waits no longer.
    fn not_taken(&self, id: ClusterId, serial: u64, what: &str, errors: &[Diagnostic]) {
        for error in errors {
            log::warn!(target: "config", "{what}: {error}");
        }
        self.no_assignment(id, serial);
    }
}
