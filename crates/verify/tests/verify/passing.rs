//! All cases that the repository holds.

use crate::support::{LOSSES, MODELS, TRAJECTORIES, reports};
use regulus_verify::CaseReport;

fn assert_all_pass(reports: &[CaseReport]) {
    for report in reports {
        let failed: Vec<_> = report.rows.iter().filter(|row| !row.passed()).collect();
        assert!(report.passed(), "{}: {:?} {failed:?}", report.name, report.failure);
        assert!(!report.rows.is_empty(), "{}", report.name);
    }
}

fn names(reports: &[CaseReport]) -> Vec<&str> {
    reports.iter().map(|report| report.name.rsplit("tests/golden/").next().unwrap()).collect()
}

#[test]
fn models() {
    let reports = reports(MODELS);
    assert_all_pass(&reports);
    assert_eq!(
        names(&reports),
        [
            "bert",
            "hf_vit",
            "ivlp",
            "open_clip/gelu",
            "open_clip/quickgelu",
            "openai_rn",
            "openai_vit",
            "resnet_basic",
            "tes_resnet",
            "tokenizer",
            "truncation",
            "vit_backbone/hf",
            "vit_backbone/hf_classifier",
            "vit_backbone/timm",
        ]
    );
}

#[test]
fn trajectories() {
    let reports = reports(TRAJECTORIES);
    assert_all_pass(&reports);
    assert_eq!(
        names(&reports),
        [
            "finetune_ce_frozen_text",
            "finetune_ce_official",
            "linear_probe_lbfgs",
            "linear_probe_sgd",
            "proreg_kd_frozen_text",
            "proreg_xerm_frozen_text",
            "proreg_xerm_official",
            "zero_shot",
        ]
    );
}

#[test]
fn losses_of_proreg() {
    let reports = reports(LOSSES);
    let proreg: Vec<CaseReport> =
        reports.into_iter().filter(|report| report.name.ends_with("proreg")).collect();
    assert_eq!(proreg.len(), 1);
    assert_all_pass(&proreg);
}
