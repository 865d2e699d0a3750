//! Habits that need the syntax tree: names of types, parameters, documentation.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, Pat, Visibility};

use crate::files::File;
use crate::source::{Module, Target, is_public, is_test};

/// A plain `pub` item of a crate's `src` folder.
pub struct PublicItem {
    pub file: String,
    pub name: String,
    pub is_type: bool,
    pub documented: bool,
}

/// The plain `pub` items of a target.
pub fn public_items(target: &Target) -> Vec<PublicItem> {
    let mut found = Vec::new();
    for module in &target.modules {
        for item in &module.items {
            match item {
                Item::Struct(i) => add(&mut found, module, &i.vis, &i.ident, &i.attrs, true),
                Item::Enum(i) => add(&mut found, module, &i.vis, &i.ident, &i.attrs, true),
                Item::Trait(i) => add(&mut found, module, &i.vis, &i.ident, &i.attrs, true),
                Item::Type(i) => add(&mut found, module, &i.vis, &i.ident, &i.attrs, true),
                Item::Const(i) => add(&mut found, module, &i.vis, &i.ident, &i.attrs, false),
                Item::Static(i) => add(&mut found, module, &i.vis, &i.ident, &i.attrs, false),
                Item::Fn(i) => add(&mut found, module, &i.vis, &i.sig.ident, &i.attrs, false),
                Item::Impl(block) if block.trait_.is_none() => {
                    for item in &block.items {
                        match item {
                            ImplItem::Fn(i) if !is_test(&i.attrs) => {
                                add(&mut found, module, &i.vis, &i.sig.ident, &i.attrs, false);
                            }
                            ImplItem::Const(i) => {
                                add(&mut found, module, &i.vis, &i.ident, &i.attrs, false);
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }
    found
}

fn add(
    found: &mut Vec<PublicItem>,
    module: &Module,
    visibility: &Visibility,
    name: &syn::Ident,
    attributes: &[Attribute],
    is_type: bool,
) {
    if is_public(visibility) {
        found.push(PublicItem {
            file: module.file.clone(),
            name: name.to_string(),
            is_type,
            documented: attributes.iter().any(|a| a.path().is_ident("doc")),
        });
    }
}

/// The names that several public types have, with the files that define them.
pub fn shared_type_names(targets: &[Target]) -> BTreeMap<String, Vec<String>> {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let items = targets
        .iter()
        .filter(|target| target.folder.ends_with("/src"))
        .flat_map(public_items);
    for item in items.filter(|item| item.is_type) {
        files.entry(item.name).or_default().push(item.file);
    }
    files.retain(|_, files| files.len() > 1);
    files
}

/// `path: fn name` of each function with a parameter that is taken apart as a tuple.
pub fn tuple_parameters(file: &File) -> Vec<String> {
    let parsed =
        syn::parse_file(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
    let mut reader = Signatures { found: Vec::new() };
    reader.visit_file(&parsed);
    let place = |name: &String| format!("{}: fn {name}", file.path);
    reader.found.iter().map(place).collect()
}

struct Signatures {
    found: Vec<String>,
}

impl<'ast> Visit<'ast> for Signatures {
    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        let takes_tuple = |input: &syn::FnArg| match input {
            syn::FnArg::Typed(parameter) => is_tuple(&parameter.pat),
            syn::FnArg::Receiver(_) => false,
        };
        if signature.inputs.iter().any(takes_tuple) {
            self.found.push(signature.ident.to_string());
        }
        visit::visit_signature(self, signature);
    }
}

fn is_tuple(pattern: &Pat) -> bool {
    match pattern {
        Pat::Tuple(tuple) => tuple.elems.len() > 1,
        Pat::Reference(inner) => is_tuple(&inner.pat),
        Pat::Paren(inner) => is_tuple(&inner.pat),
        _ => false,
    }
}
