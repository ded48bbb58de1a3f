import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { errorCodes } from '../../src/errors.ts';
import { projectRoot } from '../support/project.ts';

const catalogue: readonly string[] = errorCodes;
const page = readFileSync(join(projectRoot, 'docs/errors.md'), 'utf8');
const sources = readdirSync(join(projectRoot, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && path !== 'errors.ts')
  .map((path) => readFileSync(join(projectRoot, 'src', path), 'utf8'));

/** Codes as they are raised: the first argument of the constructor, wherever it stands, or spelt out in full. */
function codesIn(source: string): string[] {
  const raised = [...source.matchAll(/new SealpipeError\(\s*'([A-Z0-9_]+)'/g)];
  const spelt = [...source.matchAll(/ERR_SEALPIPE_([A-Z0-9_]+)/g)];
  return [...raised, ...spelt].map((match) => match[1] as string);
}

describe('the catalogue of error codes', () => {
  const used = new Set(sources.flatMap(codesIn));

  test('has every code that the source names', () => {
    assert.ok(used.size > 30, `only ${used.size} codes were found: what the search looks for has changed`);
    assert.deepEqual([...used].filter((code) => !catalogue.includes(code)).sort(), []);
  });

  test('has no code that nothing in the source raises', () => {
    const quoted = sources.join('\n');
    const unused = catalogue.filter((code) => !used.has(code) && !quoted.includes(`'${code}'`));
    assert.deepEqual(unused, []);
  });

  test('has no code twice', () => {
    assert.equal(new Set(catalogue).size, catalogue.length);
  });
});

describe('docs/errors.md', () => {
  const sections = new Map(
    page
      .split(/^### /m)
      .slice(1)
      .map((section): [string, string] => {
        const [heading = '', ...rest] = section.split('\n');
        return [heading.trim(), rest.join('\n').split(/^## /m)[0]?.trim() ?? ''];
      }),
  );

  test('explains each code of the catalogue, and no other', () => {
    assert.deepEqual([...sections.keys()].sort(), catalogue.map((code) => `ERR_SEALPIPE_${code}`).sort());
  });

  test('says of each something that the code does not say itself', () => {
    for (const [heading, text] of sections) assert.ok(text.length > 60, `${heading}: ${text}`);
  });

  test('says of each code whether it is retryable, as the source has it', () => {
    const retryable = new Set(
      sources.flatMap((source) =>
        [
          ...source.matchAll(/new SealpipeError\(\s*'([A-Z0-9_]+)'(?:(?!new SealpipeError)[\s\S])*?retryable: true/g),
        ].map((match) => `ERR_SEALPIPE_${match[1]}`),
      ),
    );
    const documented = [...sections].flatMap(([heading, text]) => (/(^|[.] )Retryable\./.test(text) ? [heading] : []));
    assert.deepEqual(documented.sort(), [...retryable].sort());
  });
});
