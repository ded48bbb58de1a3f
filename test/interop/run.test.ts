import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

/** Runs the interop program where no toolchain is to be found. */
function interop(args: readonly string[], required = ''): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, ['--no-warnings', join(import.meta.dirname, '../../interop/run.js'), ...args], {
    encoding: 'utf8',
    env: { PATH: '/nonexistent', SEALPIPE_INTEROP_REQUIRE: required },
  });
}

test('each missing toolchain is one line that says what was looked for and what follows', () => {
  const { status, stderr, stdout } = interop([]);
  assert.equal(status, 0);
  const skipped = 'set SEALPIPE_INTEROP_REQUIRE=java,go,python to make this an error';
  assert.deepEqual(stderr.trim().split('\n'), [
    `interop: Java is not installed (looked for \`java\`, \`javac\`, \`mvn\`): Java cases are skipped; ${skipped}`,
    `interop: Go is not installed (looked for \`go\`): Go cases are skipped; ${skipped}`,
    `interop: Python is not installed (looked for \`python3\`): Python cases are skipped; ${skipped}`,
  ]);
  assert.equal(stdout, 'interop: no official client is left to compare with\n');
});

test('a missing toolchain that is required is an error, one that is not asked for is not mentioned', () => {
  assert.equal(interop([], 'go').status, 1);
  const { status, stderr } = interop(['--only', 'java'], 'go');
  assert.equal(status, 0);
  assert.doesNotMatch(stderr, /Go/);
});

test('a wrong call is said in one line, with status 2', () => {
  for (const [args, message] of [
    [
      ['--only', 'rust'],
      /^interop: --only names "rust", expected some of java,go,python \(--help shows the options\)\n$/,
    ],
    [['--onyl', 'java'], /^interop: Unknown option '--onyl'.*\n$/],
  ] as const) {
    const { status, stderr } = interop(args);
    assert.equal(status, 2);
    assert.match(stderr, message);
  }
  const { status, stderr } = interop([], 'cobol');
  assert.equal(status, 2);
  assert.match(stderr, /SEALPIPE_INTEROP_REQUIRE names "cobol"/);
});

test('help shows every option', () => {
  const { status, stdout } = interop(['--help']);
  assert.equal(status, 0);
  for (const option of ['--only', '--endpoint-url', '--kms-endpoint-url', '--verbose', 'SEALPIPE_INTEROP_REQUIRE'])
    assert.ok(stdout.includes(option), option);
});
