import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, test } from 'node:test';
import * as sealpipe from '../../src/index.ts';
import { projectRoot } from '../support/project.ts';

const pages = [
  ...readdirSync(projectRoot).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(projectRoot, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];
const textOf = (page: string): string => readFileSync(join(projectRoot, page), 'utf8');

const fences = /^```(\w*)\n([\s\S]*?)^```/gm;

/** Targets of links outside of code. */
function linksOf(page: string): string[] {
  const prose = textOf(page)
    .replace(fences, '')
    .replace(/`[^`\n]*`/g, '``');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] as string);
}

/** The anchors of a page's headings, as the usual hosts make them. */
function anchorsOf(page: string): string[] {
  const headings = [
    ...textOf(page)
      .replace(fences, '')
      .matchAll(/^#+ (.+)$/gm),
  ].map((match) => match[1] as string);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replace(/\s/g, '-'),
  );
}

describe('links of the documents', () => {
  for (const page of pages) {
    test(`those of ${page} lead to files, and to headings that they have`, () => {
      for (const link of linksOf(page).filter((target) => !/^[a-z]+:/.test(target))) {
        const [path = '', anchor] = link.split('#');
        const target = path === '' ? page : normalize(join(dirname(page), path));
        assert.ok(existsSync(join(projectRoot, target)), `${page} links to ${link}, which is not there`);
        if (anchor !== undefined) assert.ok(anchorsOf(target).includes(anchor), `${target} has no heading ${anchor}`);
      }
    });
  }

  test('every page of docs/ can be reached from the README', () => {
    const reached = new Set(['README.md']);
    for (const page of reached) {
      if (!page.endsWith('.md') || !existsSync(join(projectRoot, page))) continue;
      for (const link of linksOf(page).filter((target) => !/^[a-z]+:|^#/.test(target)))
        reached.add(relative('.', join(dirname(page), link.split('#')[0] as string)));
    }
    assert.deepEqual(
      pages.filter((page) => page.startsWith('docs') && !reached.has(page)),
      [],
    );
  });

  test('addresses elsewhere are https', () => {
    const links = pages.flatMap(linksOf).filter((target) => /^[a-z]+:/.test(target));
    assert.deepEqual(
      links.filter((target) => !target.startsWith('https://')),
      [],
    );
  });
});

describe('code in the documents', () => {
  const exported = Object.keys(sealpipe);
  const methods = Object.getOwnPropertyNames(sealpipe.EncryptedS3.prototype);
  for (const page of pages) {
    const blocks = [...textOf(page).matchAll(fences)]
      .filter(([, language = '']) => /^(js|ts|mjs|javascript|typescript)$/.test(language))
      .map(([, , code = '']) => code);
    if (blocks.length === 0) continue;
    test(`that of ${page} calls what there is`, () => {
      for (const code of blocks) {
        for (const [, names = ''] of code.matchAll(/import \{([^}]*)\} from 'sealpipe'/g))
          for (const name of names.split(',').map((each) => each.trim().replace(/^type /, '')))
            if (!/^[A-Z]/.test(name)) assert.ok(exported.includes(name), name);
        // By this name an EncryptedS3 goes, unless the block makes another client of it.
        for (const [, name = ''] of code.includes('s3 = new S3Client') ? [] : code.matchAll(/\bs3\.(\w+)\(/g))
          assert.ok(methods.includes(name), `s3.${name} is no method of EncryptedS3`);
        for (const [, name = ''] of code.matchAll(/(?<![.\w])((?:create|with|to)[A-Z]\w*|\w+Keyring)\(/g))
          if (!code.includes(`function ${name}`)) assert.ok(isKnown(name), `${name} is not exported`);
      }
    });
  }

  /** Of this package, or of Node and the libraries that examples are about. */
  function isKnown(name: string): boolean {
    return exported.includes(name) || ['createReadStream', 'createWriteStream', 'createServer'].includes(name);
  }
});
