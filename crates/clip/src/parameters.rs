//! Parameters by their canonical paths.
//!
//! The module tree is the only list of a model's parameters and their shapes. Initialising,
//! loading, saving and fine-tuning all walk it, always in module order, so that no result depends
//! on the order of a hash map.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor};

/// A parameter with its canonical path.
#[derive(Debug, Clone)]
pub struct NamedParameter {
    /// Such as `visual.transformer.resblocks.0.attn.in_proj_weight`.
    pub path: String,
    /// Shape in the model, in PyTorch's layout.
    pub shape: Vec<usize>,
    /// The flattened value. Shares memory with the model.
    pub value: Tensor<1>,
}

/// Which parameters of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Both towers and the logit scale.
    All,
    /// The image tower.
    Image,
    /// The text tower.
    Text,
}

/// What a parameter is given.
#[allow(clippy::large_enum_variant, reason = "it is short-lived, and never in a collection")]
pub(crate) enum Value {
    /// The flattened value.
    Ready(Tensor<1>),
    /// What makes the flattened value, on the device where the parameter is when it is first used.
    Later(Box<dyn FnOnce(&Device) -> Tensor<1> + Send + Sync>),
}

impl From<Tensor<1>> for Value {
    fn from(value: Tensor<1>) -> Self {
        Self::Ready(value)
    }
}

/// A parameter that has a shape and a device but no value yet.
pub(crate) fn vacant<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    let zeros = move |device: &Device, _require_grad| Tensor::zeros(shape, device);
    Param::uninitialized(ParamId::new(), zeros, device.clone(), false, shape.into())
}

/// Path and shape of every parameter below `module`, in module order. Creates no values.
pub(crate) fn shapes<M: Module>(module: &M, prefix: &str) -> Vec<(String, Vec<usize>)> {
    let mut visitor = ShapeVisitor { path: ModulePath::below(prefix), shapes: Vec::new() };
    module.visit(&mut visitor);
    visitor.shapes
}

/// Every parameter below `module`, in module order.
pub(crate) fn named<M: Module>(module: &M, prefix: &str) -> Vec<NamedParameter> {
    let mut visitor = ValueVisitor { path: ModulePath::below(prefix), parameters: Vec::new() };
    module.visit(&mut visitor);
    visitor.parameters
}

/// `module` with the values that `source` gives for a path and shape; where it gives none, the
/// parameter stays as it is. Parameters do not require gradients.
///
/// `source` must give as many values as the shape asks for.
pub(crate) fn filled<M: Module, V: Into<Value>>(
    module: M,
    source: &mut dyn FnMut(&str, &[usize]) -> Option<V>,
) -> M {
    let source = &mut |path: &str, shape: &[usize]| source(path, shape).map(V::into);
    module.map(&mut Filler { path: ModulePath::below(""), source })
}

/// The names of the modules that a walk is inside of.
///
/// Burn counts the variant of an enum as a module; a path goes without it.
struct ModulePath(Vec<String>);

impl ModulePath {
    fn enter(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.push(name.to_string());
        }
    }

    fn exit(&mut self, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.pop();
        }
    }

    fn below(prefix: &str) -> Self {
        Self(if prefix.is_empty() { Vec::new() } else { vec![prefix.to_string()] })
    }

    fn joined(&self) -> String {
        self.0.join(".")
    }
}

struct ShapeVisitor {
    path: ModulePath,
    shapes: Vec<(String, Vec<usize>)>,
}

impl ModuleVisitor for ShapeVisitor {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.shapes.push((self.path.joined(), param.lazy_shape().to_vec()));
    }
}

struct ValueVisitor {
    path: ModulePath,
    parameters: Vec<NamedParameter>,
}

impl ModuleVisitor for ValueVisitor {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let shape = value.dims();
        let value = value.reshape([shape.iter().product::<usize>()]);
        self.parameters.push(NamedParameter { path: self.path.joined(), shape: shape.to_vec(), value });
    }
}

struct Filler<'a> {
    path: ModulePath,
    source: &'a mut dyn FnMut(&str, &[usize]) -> Option<Value>,
}

impl ModuleMapper for Filler<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.lazy_shape();
        match (self.source)(&self.path.joined(), shape.as_slice()) {
            Some(Value::Ready(value)) => Param::initialized(param.id, value.reshape(shape)),
            Some(Value::Later(make)) => {
                let (device, same) = (param.lazy_device(), shape.clone());
                let value = move |device: &Device, require_grad| {
                    make(device).reshape(same).set_require_grad(require_grad)
                };
                Param::uninitialized(param.id, value, device, false, shape)
            }
            None => param,
        }
    }
}
