import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectRoot } from '../support/project.ts';

const folder = join(projectRoot, 'build/examples');

for (const name of readdirSync(folder).filter((file) => file.endsWith('.js'))) {
  test(`the example ${name.replace('.js', '.ts')} runs to its end and says something`, () => {
    const output = execFileSync(process.execPath, ['--no-warnings', join(folder, name)], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.ok(output.trim().length > 0);
  });
}

test('the example of the README is the one that runs here', () => {
  const example = readFileSync(join(projectRoot, 'examples/readme.ts'), 'utf8').trim();
  assert.ok(readFileSync(join(projectRoot, 'README.md'), 'utf8').includes(`\`\`\`js\n${example}\n\`\`\``));
});
