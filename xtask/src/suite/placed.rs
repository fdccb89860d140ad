//! Where the data and the model of a published suite lie on this machine, and which of its data sets are missing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use regulus_datasets::published::{self, CheckOptions};
use regulus_trainer::experiment::DataSpec;

use super::spec::{RunRow, Suite};
use crate::failure::{Failure, Outcome};

/// What a suite does not say because it differs from machine to machine, and what is changed for a try.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Folder of all published data sets.
    pub root: Option<PathBuf>,
    /// The model, in place of the suite's.
    pub model: Option<PathBuf>,
    /// The image encoder of methods that train another one.
    pub backbone: Option<PathBuf>,
    /// Seeds in place of the suite's.
    pub seeds: Vec<u64>,
}

impl Suite {
    /// Fills in places. Rows whose data sets are not there move to `absent`; what is missing is returned, one text for
    /// each data set.
    pub fn place(&mut self, places: &Places) -> Outcome<Vec<String>> {
        if !places.seeds.is_empty() {
            self.seeds.clone_from(&places.seeds);
        }
        if let Some(model) = &places.model {
            self.model.clone_from(model);
        }
        if self.model.as_os_str().is_empty() {
            return Err(self.refused("--model is missing", self.expects.as_deref()));
        }
        for path in self.backbone_of.values_mut().filter(|path| path.as_os_str().is_empty()) {
            match &places.backbone {
                Some(backbone) => path.clone_from(backbone),
                None => return Err(self.refused("--backbone is missing", self.expects_backbone.as_deref())),
            }
        }
        let mut faults: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut absent_tasks = Vec::new();
        for (task, data) in &mut self.tasks {
            let DataSpec::Published(data) = data else { continue };
            if !self.runs.iter().any(|row| row.task == *task) {
                continue;
            }
            if data.root.as_os_str().is_empty() {
                let Some(root) = &places.root else {
                    let message =
                        format!("suite `{}`: --root is missing: the folder of the data sets", self.name);
                    return Err(Failure::Request(anyhow::anyhow!(message)));
                };
                data.root.clone_from(root);
            }
            for name in std::iter::once(&data.name).chain(&data.targets) {
                if let Entry::Vacant(unknown) = faults.entry(name.clone()) {
                    unknown.insert(fault(name, &data.root)?);
                }
                if faults.get(name).is_some_and(Option::is_some) {
                    absent_tasks.push(task.clone());
                }
            }
        }
        let is_absent = |row: &RunRow| absent_tasks.contains(&row.task);
        self.absent = self.runs.extract_if(.., |row| is_absent(row)).collect();
        let missing: Vec<String> = faults.into_values().flatten().collect();
        if self.runs.is_empty() {
            let message = format!("suite `{}`: none of its data is there\n{}", self.name, missing.join("\n"));
            return Err(Failure::Request(anyhow::anyhow!(message)));
        }
        Ok(missing)
    }

    fn refused(&self, what: &str, expected: Option<&str>) -> Failure {
        let expected = expected.map_or_else(String::new, |expected| format!(": {expected}"));
        Failure::Request(anyhow::anyhow!("suite `{}`: {what}{expected}", self.name))
    }
}

/// Why a data set cannot be used; `None` if it can.
fn fault(name: &str, root: &Path) -> Outcome<Option<String>> {
    // Whether every image is there is looked at when the runs are planned.
    let options = CheckOptions { files: false, contents: false };
    let report = published::check_with(name, root, options).map_err(Failure::request)?;
    Ok((!report.is_usable()).then(|| report.to_string()))
}
