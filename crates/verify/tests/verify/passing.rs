//! All recorded models that the repository holds.

use crate::support::{MODELS, reports};
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
