//! Every loss against its recorded values, its properties and its gradients.

mod devices;
mod golden_proreg;
mod properties;
