// Makes workers/src/normalize/linguist.tsv: the names, aliases, extensions and file names of GitHub's Linguist.
//
//   npm pack linguist-languages && tar xzf linguist-languages-*.tgz
//   node scripts/languages.mjs package > workers/src/normalize/linguist.tsv
//
// One language a line, with tabs between: name, group, aliases, extensions, file names; spaces within a list.
// An extension that several languages share is of the one that lists it first; if there are several, of none.

import {readFileSync} from 'node:fs';
import {resolve} from 'node:path';
import {pathToFileURL} from 'node:url';

const folder = resolve(process.argv[2] ?? 'package');
const languages = Object.values(await import(pathToFileURL(`${folder}/index.js`)));
const {version} = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'));

/** As `key` in language.rs spells names. */
const key = name => name.toLowerCase().replace(/[^a-z0-9+#._]+/g, '-').replace(/^-|-$/g, '');

/** What each of the languages claims, as `claim -> language`; what several claim is of `winner(its languages)`. */
function owners(claimsOf, winner) {
  const claims = new Map();
  for (const language of languages) {
    for (const claim of claimsOf(language)) claims.set(claim, [...(claims.get(claim) ?? []), language]);
  }
  return new Map([...claims].map(([claim, by]) => [claim, by.length === 1 ? by[0] : winner(claim, by)]));
}

const only = list => (list.length === 1 ? list[0] : undefined);
const lower = list => [...new Set((list ?? []).map(text => text.toLowerCase()))];
const extensions = language => lower(language.extensions).map(extension => extension.slice(1));
const first = (extension, by) => only(by.filter(language => extensions(language)[0] === extension));
const plain = first => only(first.filter(language => !language.group));

const names = owners(language => [key(language.name)], (_, by) => by[0]);
const ofAlias = owners(
  language => [...new Set((language.aliases ?? []).map(key))].filter(alias => !names.has(alias)),
  (_, by) => by[0],
);
const ofExtension = owners(extensions, (extension, by) => first(extension, by) ?? plain(by));
// A licence is no text in the sense of what one works on.
const files = language => (language.name === 'Text' ? [] : lower(language.filenames));
const ofFile = owners(language => files(language).filter(name => !name.includes(' ')), () => undefined);
const claimed = (owner, language) => [...owner].filter(([, by]) => by === language).map(([claim]) => claim).sort();

console.log(`# Made by scripts/languages.mjs of linguist-languages ${version}.`);
console.log('# MIT License. Copyright (c) 2017 GitHub, Inc. (Linguist); copyright (c) Ika (linguist-languages).');
console.log('# Permission is granted, free of charge, to deal in it without restriction, provided that this notice is');
console.log('# included. It is provided "as is", without warranty of any kind: https://opensource.org/license/mit');
for (const language of [...names.values()].sort((one, other) => (key(one.name) < key(other.name) ? -1 : 1))) {
  const lists = [ofAlias, ofExtension, ofFile].map(owner => claimed(owner, language).join(' '));
  console.log([key(language.name), key(language.group ?? ''), ...lists].join('\t'));
}
