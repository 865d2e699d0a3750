//! The workspace's Rust code as syntax trees: its targets, their modules, and what each name means there.
//!
//! Test code inside a crate (`#[cfg(test)]` items, modules named `tests`) is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use syn::{Attribute, Item, UseTree, Visibility};

use crate::files::root;

/// A library, program or test of the workspace, with all its modules.
pub struct Target {
    /// The folder of its root file, as `store/src` or `tests/promises`.
    pub folder: String,
    pub kind: Kind,
    pub modules: Vec<Module>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Library,
    Program,
    Test,
}

/// A module of a target. Inline modules are modules of their own that share a file.
pub struct Module {
    /// The names from the crate's root; empty for the root.
    pub path: Vec<String>,
    /// The file, from the project's root.
    pub file: String,
    pub items: Vec<Item>,
    names: Names,
}

/// What the names in a module stand for.
#[derive(Default)]
struct Names {
    defined: BTreeSet<String>,
    imported: BTreeMap<String, Vec<Vec<String>>>,
    globs: Vec<Vec<String>>,
}

/// A `use` of one name, or of all (`name` is `*`).
pub struct Import {
    pub path: Vec<String>,
    pub name: String,
}

/// What a path leads to: a module by its number, or an item that the module of that number defines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    Module(usize),
    ItemOf(usize),
}

/// Every library, program and test of the workspace.
pub fn targets() -> Vec<Target> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = Command::new(cargo)
        .args("metadata --no-deps --offline --locked --format-version 1".split(' '))
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let error = String::from_utf8_lossy(&metadata.stderr);
    assert!(metadata.status.success(), "cargo metadata: {error}");
    let metadata: serde_json::Value =
        serde_json::from_slice(&metadata.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let targets = packages
        .iter()
        .flat_map(|package| package["targets"].as_array().expect("targets"));
    let mut found: Vec<Target> = targets.filter_map(target).collect();
    found.sort_by(|a, b| a.folder.cmp(&b.folder));
    assert!(found.len() > 20, "only {} targets found", found.len());
    found
}

fn target(described: &serde_json::Value) -> Option<Target> {
    let kind = match described["kind"][0].as_str()? {
        "lib" => Kind::Library,
        "bin" => Kind::Program,
        "test" => Kind::Test,
        _ => return None,
    };
    let file = Path::new(described["src_path"].as_str()?);
    let file = file.strip_prefix(root()).expect("a target of the project");
    let folder = file.parent()?.to_str()?.to_owned();
    let mut target = Target {
        kind,
        folder: folder.clone(),
        modules: Vec::new(),
    };
    target.read_file(file.to_str()?, &folder, &[]);
    Some(target)
}

impl Target {
    /// Reads a module's file and the modules it declares, whose files lie in `folder`.
    fn read_file(&mut self, file: &str, folder: &str, path: &[String]) {
        let text =
            fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.add_module(file, folder, path, parsed.items);
    }

    fn add_module(&mut self, file: &str, folder: &str, path: &[String], items: Vec<Item>) {
        let (modules, items): (Vec<Item>, Vec<Item>) = items
            .into_iter()
            .filter(|item| !is_test(attributes(item)))
            .partition(|item| matches!(item, Item::Mod(_)));
        self.modules.push(Module {
            names: names_of(&items),
            path: path.to_vec(),
            file: file.to_owned(),
            items,
        });
        for module in modules {
            let Item::Mod(module) = module else { continue };
            let name = module.ident.to_string();
            if name == "tests" {
                continue;
            }
            let path = [path, std::slice::from_ref(&name)].concat();
            let below = format!("{folder}/{name}");
            if let Some((_, items)) = module.content {
                self.add_module(file, &below, &path, items);
                continue;
            }
            let beside = Path::new(file).parent().expect("a file lies in a folder");
            let named = path_attribute(&module.attrs).map(|given| beside.join(given));
            let usual = [format!("{below}.rs"), format!("{below}/mod.rs")];
            let child = match named {
                Some(named) => named.to_str().expect("a path of the project").to_owned(),
                None => usual
                    .into_iter()
                    .find(|file| root().join(file).is_file())
                    .unwrap_or_else(|| panic!("{file}: no file for `mod {name};`")),
            };
            self.read_file(&child, &below, &path);
        }
    }

    fn module(&self, path: &[String]) -> Option<usize> {
        self.modules.iter().position(|module| module.path == path)
    }

    /// What a path means in a module. `None` if it leads out of the crate, or names something local.
    pub fn resolve(&self, from: usize, path: &[String]) -> Option<Meaning> {
        self.resolve_path(from, path, 0)
    }

    fn resolve_path(&self, from: usize, path: &[String], depth: usize) -> Option<Meaning> {
        if depth > 16 {
            return None;
        }
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Meaning::Module(0),
            "self" => Meaning::Module(from),
            "super" => {
                let mut above = &self.modules[from].path[..];
                above = above.split_last()?.1;
                while rest.first().is_some_and(|name| name == "super") {
                    above = above.split_last()?.1;
                    rest = &rest[1..];
                }
                Meaning::Module(self.module(above)?)
            }
            _ => self.lookup(from, first, !rest.is_empty(), depth)?,
        };
        while let (Meaning::Module(module), Some((name, after))) = (at, rest.split_first()) {
            at = self
                .lookup(module, name, !after.is_empty(), depth)
                .unwrap_or(Meaning::ItemOf(module)); // made by a macro of that module
            rest = after;
        }
        Some(at)
    }

    /// What one name means in a module; `as_module` prefers the module among several of that name.
    fn lookup(&self, module: usize, name: &str, as_module: bool, depth: usize) -> Option<Meaning> {
        let names = &self.modules[module].names;
        let child = [&self.modules[module].path[..], &[name.to_owned()]].concat();
        let child = self.module(&child).map(Meaning::Module);
        if as_module && child.is_some() {
            return child;
        }
        if names.defined.contains(name) {
            return Some(Meaning::ItemOf(module));
        }
        let imports = names.imported.get(name).into_iter().flatten();
        let itself = |path: &Vec<String>| path.len() == 1 && path[0] == name;
        let imported = imports
            .filter(|path| !itself(path))
            .find_map(|path| self.resolve_path(module, path, depth + 1));
        imported.or(child).or_else(|| {
            names.globs.iter().find_map(|glob| {
                match self.resolve_path(module, glob, depth + 1)? {
                    Meaning::Module(inside) if inside != module => {
                        self.lookup(inside, name, as_module, depth + 1)
                    }
                    _ => None,
                }
            })
        })
    }
}

fn names_of(items: &[Item]) -> Names {
    let mut names = Names::default();
    for item in items {
        if let Some(name) = name_of(item) {
            names.defined.insert(name);
        }
        let Item::Use(declared) = item else { continue };
        if declared.leading_colon.is_some() {
            continue;
        }
        for import in imports(&declared.tree) {
            match import.name.as_str() {
                "*" => names.globs.push(import.path),
                _ => names
                    .imported
                    .entry(import.name)
                    .or_default()
                    .push(import.path),
            }
        }
    }
    names
}

fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// Every name that a `use` brings in.
pub fn imports(tree: &UseTree) -> Vec<Import> {
    fn add(tree: &UseTree, above: &[String], found: &mut Vec<Import>) {
        let mut import = |name: &syn::Ident, renamed: &syn::Ident| {
            // `use path::{self}` brings in the path's last name.
            let itself = name == "self" && !above.is_empty();
            let path = if itself {
                above.to_vec()
            } else {
                [above, &[name.to_string()]].concat()
            };
            let name = if renamed == "self" {
                path.last().cloned().unwrap_or_default()
            } else {
                renamed.to_string()
            };
            found.push(Import { path, name });
        };
        match tree {
            UseTree::Path(path) => {
                add(
                    &path.tree,
                    &[above, &[path.ident.to_string()]].concat(),
                    found,
                );
            }
            UseTree::Name(name) => import(&name.ident, &name.ident),
            UseTree::Rename(name) => import(&name.ident, &name.rename),
            UseTree::Glob(_) => found.push(Import {
                path: above.to_vec(),
                name: "*".to_owned(),
            }),
            UseTree::Group(group) => group.items.iter().for_each(|tree| add(tree, above, found)),
        }
    }
    let mut found = Vec::new();
    add(tree, &[], &mut found);
    found
}

pub fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Is this compiled for tests only?
pub fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Ok(list) = attribute.meta.require_list() else {
            return false;
        };
        let condition = list.tokens.to_string();
        let words = || condition.split(|c: char| !c.is_alphanumeric());
        list.path.is_ident("cfg")
            && words().any(|word| word == "test")
            && words().all(|word| word != "not")
    })
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    let value = attributes.iter().find_map(|attribute| {
        let pair = attribute.meta.require_name_value().ok()?;
        pair.path.is_ident("path").then_some(&pair.value)
    });
    match value? {
        syn::Expr::Lit(literal) => match &literal.lit {
            syn::Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

pub fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}
