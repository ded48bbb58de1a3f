import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { reportPage } from '../../bench/report/page.ts';
import { madeUpReport } from './made-up-report.ts';

const page = reportPage(madeUpReport());

test('the page has everything in it: nothing is loaded, and nothing may be', () => {
  assert.match(page, /<meta http-equiv="Content-Security-Policy" content="default-src 'none'; /);
  assert.doesNotMatch(page, /<(?:link|img|iframe|object|embed)\b|<script[^>]*\bsrc=|@import|url\(/i);
});

test('what a failure says is text in the page, not markup', () => {
  assert.ok(page.includes('upload-file/other failed: it said &#60;/script&#62;&#60;b&#62;no'));
  assert.doesNotMatch(page, /<b>no/);
});

const browser = ['chromium', 'chromium-browser', 'google-chrome', 'chrome']
  .flatMap((name) => (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, name)))
  .find((path) => existsSync(path));
const withoutBrowser: string | false = browser === undefined && 'no Chromium is in the PATH';

/** Looks at the page from within, when everything has been drawn, and leaves what it saw where `--dump-dom` shows it. */
const probe = `<script>
addEventListener('load', () => setTimeout(() => {
  const painted = [...document.querySelectorAll('canvas')].map((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const colors = new Set();
    let pixels = 0;
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 0) { pixels += 1; colors.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]); }
    return { pixels, colors: colors.size, kind: canvas.closest('figure').dataset.kind };
  });
  const seen = document.createElement('pre');
  seen.id = 'seen';
  seen.textContent = JSON.stringify({ painted, errors: globalThis.seenErrors, text: document.querySelector('section').innerText });
  document.body.append(seen);
}, 200));
</script>`;
const errorTrap =
  "<script>globalThis.seenErrors = []; addEventListener('error', ({ message }) => seenErrors.push(message));</script>";

test('a browser draws every figure of the page, and shows the numbers', { skip: withoutBrowser }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'sealpipe-page-'));
  try {
    const path = join(folder, 'page.html');
    writeFileSync(path, page.replace('<body>', `<body>${errorTrap}`).replace('</body>', `${probe}</body>`));
    const options = [
      '--headless',
      '--disable-gpu',
      // It is to show one file, not to call home.
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-quic',
      '--no-first-run',
      '--virtual-time-budget=3000',
      '--dump-dom',
      `--user-data-dir=${folder}/profile`,
    ];
    // Its sandbox refuses to work for root, which is whom containers run as.
    if (process.getuid?.() === 0) options.push('--no-sandbox');
    const dom = execFileSync(browser as string, [...options, pathToFileURL(path).href], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 60_000,
    });
    const text = /<pre id="seen">(.*?)<\/pre>/s.exec(dom)?.[1] ?? '{}';
    const seen = JSON.parse(text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')) as {
      painted: { pixels: number; colors: number; kind: string }[];
      errors: string[];
      text: string;
    };
    assert.deepEqual(seen.errors, []);
    // Three groups, three figures each.
    const kinds = ['throughput', 'cpu', 'rounds'];
    assert.deepEqual(
      seen.painted.map(({ kind }) => kind),
      [...kinds, ...kinds, ...kinds],
    );
    // Axes alone would be a few thousand pixels of two colours.
    for (const { pixels, colors, kind } of seen.painted)
      assert.ok(pixels > 4000 && colors > 3, `${kind}: ${pixels}, ${colors}`);
    assert.match(seen.text, /MB\/s/);
    assert.match(seen.text, /sealpipe, 8 MiB × 4\s+\d+/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
