//! What pickles of several protocols and ages are made of, written by hand.

use crate::builders::{TensorPickle, archive, fixture_bytes, open, refusal, text};
use crate::mutations::target;
use regulus_checkpoints::{Checkpoint, Dtype, Scalar};
use regulus_mutation::{Limits, Target};
use std::collections::BTreeMap;

const STORAGE: [u8; 24] = [0; 24];

fn checkpoint(pickle: &[u8]) -> Checkpoint {
    open(&archive(pickle, &STORAGE)).unwrap()
}

fn names(pickle: &[u8]) -> Vec<String> {
    checkpoint(pickle).tensors().map(|(name, _)| name.to_owned()).collect()
}

fn scalars(pickle: &[u8]) -> BTreeMap<String, Scalar> {
    checkpoint(pickle).scalars().clone()
}

/// The default tensor after other instructions, and before some.
fn around(before: &[u8], after: &[u8]) -> Vec<u8> {
    [before, &TensorPickle::default().instructions(), after].concat()
}

#[test]
fn text_protocol() {
    let pickle = b"(dp0\nS'a'\np1\nI7\nsVb\nL-8L\nsS'c'\nF2.5\nsS'd'\nI01\nsS'e'\n(lp2\nI1\naI2\nasS'f'\ng1\nsS'g'\nNs.";
    let expected = [
        ("a", Scalar::Int(7)),
        ("b", Scalar::Int(-8)),
        ("c", Scalar::Float(2.5)),
        ("d", Scalar::Bool(true)),
        ("e.0", Scalar::Int(1)),
        ("e.1", Scalar::Int(2)),
        ("f", Scalar::Text("a".into())),
    ];
    assert_eq!(scalars(pickle), expected.map(|(name, value)| (name.to_owned(), value)).into());
}

#[test]
fn integers_of_all_lengths() {
    let pickle = b"\x80\x02(K\xffM\xff\xffJ\xff\xff\xff\xff\x8a\x00\x8a\x01\xff\x8a\x02\xff\x00\
        \x8b\x03\0\0\0\0\0\x80\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7ft.";
    let values: Vec<Scalar> =
        [255, 65535, -1, 0, -1, 255, -(1 << 23), i64::MAX].map(Scalar::Int).into_iter().collect();
    assert_eq!(scalars(pickle).into_values().collect::<Vec<_>>(), values);
}

#[test]
fn ordered_dicts_of_every_age() {
    // Python 2 passes a list of pairs, Python 3 sets the items afterwards.
    let python_2 = around(b"\x80\x02ccollections\nOrderedDict\n]U\x01a", b"\x86a\x85R.");
    let python_2_list = around(b"\x80\x02ccollections\nOrderedDict\n](](U\x01a", b"e](U\x01bK\x05ee\x85R.");
    let python_3 = around(b"\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R(\x8c\x01a", b"u}b.");
    assert_eq!(names(&python_2_list), ["a"]);
    assert_eq!(scalars(&python_2_list)["b"], Scalar::Int(5));
    assert_eq!(names(&python_3), ["a"]);
    assert_eq!(names(&python_2), ["a"]);
}

#[test]
fn objects_show_their_attributes() {
    let attributes = [&b"}("[..], &text("w"), &TensorPickle::default().instructions(), b"u"].concat();
    let made = [
        [&b"\x80\x02cm\nC\n)\x81"[..], &attributes, b"b."].concat(),
        [&b"\x80\x04cm\nC\n)}\x92"[..], &attributes, b"b."].concat(),
        [&b"\x80\x02(im\nC\n"[..], &attributes, b"b."].concat(),
        [&b"\x80\x02(cm\nC\no"[..], &attributes, b"b."].concat(),
        // Attributes in slots.
        [&b"\x80\x02cm\nC\n)\x81N"[..], &attributes, b"\x86b."].concat(),
    ];
    for pickle in made {
        assert_eq!(names(&pickle), ["w"]);
    }
    let items = around(b"\x80\x02cm\nList\n)\x81(", b"e.");
    assert_eq!(names(&items), ["0"]);
    let pairs = around(b"\x80\x02ccollections\ndefaultdict\ncbuiltins\nlist\n\x85R(K\x07", b"u.");
    assert_eq!(names(&pairs), ["7"]);
}

#[test]
fn calls_that_are_their_first_argument() {
    assert_eq!(names(&around(b"\x80\x02}U\x01pctorch._utils\n_rebuild_parameter\n(", b"\x88}tRs.")), ["p"]);
    let list = b"\x80\x02}U\x01sctorch.jit._pickle\nbuild_intlist\n](K\x03K\x04e\x85Rs.";
    assert_eq!(scalars(list).into_keys().collect::<Vec<_>>(), ["s.0", "s.1"]);
}

#[test]
fn newer_tensor_constructors() {
    let tensor = TensorPickle { class: "UntypedStorage", numel: 24, ..TensorPickle::default() };
    let replace = |dtype: &[u8]| {
        let mut bytes = tensor.instructions();
        let version = bytes.windows(2).position(|window| window == b"v2").unwrap();
        bytes[version + 1] = b'3';
        // The number format follows the hooks.
        bytes.splice(bytes.len() - 2.., [b"ctorch\n", dtype, b"\ntR"].concat());
        [b"\x80\x02", &bytes[..], b"."].concat()
    };
    let checkpoint = open(&archive(&replace(b"int16"), &STORAGE)).unwrap();
    assert_eq!(checkpoint.tensor("").map(|tensor| (tensor.dtype(), tensor.numel())), Some((Dtype::I16, 6)));
    assert!(refusal(&archive(&replace(b"float64"), &STORAGE)).contains("leaves its storage of 3 elements"));
    assert!(refusal(&archive(&replace(b"float8_e5m2"), &STORAGE)).contains("float8_e5m2"));
    let constructor = b"ctorch._utils\n_rebuild_tensor_v2\n";
    let arguments = TensorPickle::default().instructions()[constructor.len()..].to_vec();
    let arguments = &arguments[..arguments.len() - 1];
    let wrapped = [
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(",
        &constructor[..],
        b"cm\nT\n",
        arguments,
        b"}tR.",
    ]
    .concat();
    assert_eq!(names(&wrapped), [""]);
}

#[test]
fn an_unknown_call_hides_nothing_else() {
    let pickle =
        around(b"\x80\x02}(U\x01xcnumpy\nscalar\n(cnumpy\ndtype\nU\x02f8tRU\x01tccopy_reg\n_x\n0", b"u.");
    assert_eq!(names(&pickle), ["t"]);
    for unsupported in [&b"\x80\x02Pid\n."[..], b"\x80\x02\x82\x01.", b"\x80\x05\x97.", b"\x80\x06N."] {
        assert!(refusal(&archive(unsupported, &STORAGE)).contains("not "));
    }
}

#[test]
fn an_index_is_no_single_file() {
    let json = fixture_bytes("model.safetensors.index.json");
    assert!(refusal(&json).contains("it is an index"));
}

#[test]
fn a_conversion_holds_only_its_result() {
    let (rows, columns) = (512, 512);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.pt");
    let numel = rows * columns;
    for (class, strides) in [
        ("HalfStorage", [columns, 1]),
        ("HalfStorage", [1, rows]),
        ("FloatStorage", [columns, 1]),
        ("ByteStorage", [1, rows]),
    ] {
        let tensor =
            TensorPickle { class, numel, shape: &[rows, columns], strides: &strides, ..Default::default() };
        std::fs::write(&path, archive(&tensor.pickle(), &vec![0; 4 * numel as usize])).unwrap();
        let limited = |width: usize, convert: &dyn Fn(&Checkpoint)| {
            let limits =
                Limits { per_byte: 0, fixed: width * numel as usize + (16 << 10), ..Limits::default() };
            let target = Target { limits, ..target("conversion", vec![vec![]]) };
            target.run_all(&target.seeds, &|_| convert(&Checkpoint::open(&path).unwrap()));
        };
        limited(8, &|checkpoint| assert_eq!(checkpoint.tensor("t").unwrap().to_f64().len(), numel as usize));
        if class == "ByteStorage" {
            limited(8, &|checkpoint| assert!(checkpoint.tensor("t").unwrap().to_i64().is_some()));
        } else {
            limited(4, &|checkpoint| assert!(checkpoint.tensor("t").unwrap().to_f32().is_some()));
        }
    }
}
