//! Which file uses what another file defines, and the circles in that.
//!
//! A file uses another if a `use` or a path in its code leads to an item defined there. Re-exports are followed
//! to the defining file. Declaring a module (`mod x;`) or importing its name is no use of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::source::{Meaning, Target, attributes, imports, is_test};

/// The files that each file uses, with one place that shows it.
type Uses = BTreeMap<String, BTreeMap<String, String>>;

/// The circles among a target's files, each as `a.rs -> b.rs -> a.rs` with a line for each step.
pub fn circles(target: &Target) -> Vec<String> {
    let uses = uses(target);
    let mut shown: BTreeSet<&str> = BTreeSet::new();
    let mut found = Vec::new();
    for file in uses.keys() {
        if shown.contains(file.as_str()) {
            continue;
        }
        let Some(circle) = shortest_circle(&uses, file) else {
            continue;
        };
        shown.extend(&circle);
        let steps = circle.windows(2).map(|pair| &uses[pair[0]][pair[1]]);
        let steps: String = steps.map(|step| format!("\n    {step}")).collect();
        found.push(format!("{}{steps}", circle.join(" -> ")));
    }
    found
}

fn shortest_circle<'u>(uses: &'u Uses, start: &'u str) -> Option<Vec<&'u str>> {
    let mut queue = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(path) = queue.pop_front() {
        for next in uses.get(*path.last()?).into_iter().flat_map(BTreeMap::keys) {
            let longer = [&path[..], &[next]].concat();
            if next == start {
                return Some(longer);
            }
            if seen.insert(next) {
                queue.push_back(longer);
            }
        }
    }
    None
}

fn uses(target: &Target) -> Uses {
    let mut uses = Uses::new();
    for (at, module) in target.modules.iter().enumerate() {
        let mut reader = Reader {
            target,
            at,
            uses: &mut uses,
        };
        for item in &module.items {
            reader.visit_item(item);
        }
    }
    uses
}

/// Reads the code of one module.
struct Reader<'t> {
    target: &'t Target,
    at: usize,
    uses: &'t mut Uses,
}

impl Reader<'_> {
    fn add(&mut self, path: &[String]) {
        if let Some(Meaning::ItemOf(module)) = self.target.resolve(self.at, path) {
            self.add_use(module, &path.join("::"));
        }
    }

    fn add_use(&mut self, module: usize, what: &str) {
        let from = &self.target.modules[self.at].file;
        let to = &self.target.modules[module].file;
        if from != to {
            let step = format!("{from} uses {what} of {to}");
            let used = self.uses.entry(from.clone()).or_default();
            used.entry(to.clone()).or_insert(step);
        }
    }

    /// The paths in the tokens of a macro call or an attribute, which have no syntax tree.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let colon =
            |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(c)) if c.as_char() == ':');
        let dot =
            |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(c)) if c.as_char() == '.');
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Ident(first) if at == 0 || !(dot(at - 1) || colon(at - 1)) => {
                    let mut path = vec![first.to_string()];
                    while let (true, true, Some(TokenTree::Ident(next))) =
                        (colon(at + 1), colon(at + 2), tokens.get(at + 3))
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    let called = matches!(tokens.get(at + 1), Some(TokenTree::Group(_)));
                    if path.len() > 1 || called || is_type(&path[0]) {
                        self.add(&path);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

/// A lone lower-case name is a local variable unless it is called.
fn is_type(name: &str) -> bool {
    name.starts_with(char::is_uppercase)
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, declared: &'ast syn::ItemUse) {
        if declared.leading_colon.is_some() {
            return;
        }
        let exported = !matches!(declared.vis, syn::Visibility::Inherited);
        for import in imports(&declared.tree) {
            match self.target.resolve(self.at, &import.path) {
                Some(Meaning::Module(module)) if import.name == "*" && exported => {
                    let what = format!("{}::*", import.path.join("::"));
                    self.add_use(module, &what);
                }
                _ => self.add(&import.path),
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if path.leading_colon.is_none() && (names.len() > 1 || is_type(&names[0])) {
            self.add(&names);
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(function) = &*call.func
            && let Some(name) = function.path.get_ident()
        {
            self.add(&[name.to_string()]);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        if let Some(name) = called.path.get_ident() {
            self.add(&[name.to_string()]);
        }
        self.add_tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.add_tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }
}
