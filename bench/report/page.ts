/** The figures as one page that needs nothing else: plots and tables, script and styles inside. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { projectRoot } from '../project.ts';
import type { BenchReport } from './figures.ts';
import { environmentLine, type Table, tablesOf } from './table.ts';

/** What the page's script plots: a group of cases. */
interface PlotData {
  readonly unit: 'MB' | 'op';
  readonly cases: readonly {
    readonly title: string;
    readonly own: boolean;
    readonly throughput: number;
    readonly cpu: number;
    readonly ideal: number | undefined;
    /** Throughput of each round; null where a round was left out. */
    readonly rounds: readonly (number | null)[];
  }[];
}

export function reportPage(report: BenchReport): string {
  const groups = [...new Set(report.cases.map(({ group }) => group))];
  const plots: Record<string, PlotData> = Object.fromEntries(groups.map((group) => [group, plotData(report, group)]));
  const sections = tablesOf(report).map((table) => section(table, report));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>sealpipe bench</title>
<style>${uplotFile('uPlot.min.css')}${ownFile('page.css')}</style>
</head>
<body>
<h1>sealpipe bench</h1>
<p>${escaped(environmentLine(report))}</p>
<p>Bars are medians, dots the rounds. × is the ratio to the first case of a table, by the rounds of this run.</p>
${report.failures.map(({ name, message }) => `<p class="failure">${escaped(`${name} failed: ${message}`)}</p>`).join('\n')}
${sections.join('\n')}
<script type="application/json" id="plots">${JSON.stringify(plots).replaceAll('<', '\\u003c')}</script>
<script>${scriptText(uplotFile('uPlot.iife.min.js'))}</script>
<script>${scriptText(ownFile('page.js'))}</script>
</body>
</html>
`;
}

function plotData(report: BenchReport, group: string): PlotData {
  const cases = report.cases.filter((each) => each.group === group);
  return {
    unit: cases[0]?.unit ?? 'MB',
    cases: cases.map(({ name, title, median, ideal, samples, unit, size }) => ({
      title,
      own: /\/(sealpipe|with-encryption)/.test(name),
      throughput: median.throughput,
      cpu: median.cpu,
      ideal,
      rounds: Array.from({ length: report.rounds }, (_, index) => {
        const sample = samples.find(({ round }) => round === index + 1);
        return sample === undefined ? null : size / (unit === 'MB' ? 1e6 : 1) / sample.seconds;
      }),
    })),
  };
}

function section({ id, title, rows }: Table, report: BenchReport): string {
  const [head = [], ...body] = rows;
  const cells = (row: readonly string[], tag: 'th' | 'td'): string =>
    row
      .map((text, column) =>
        column === 0 ? `<th scope="row">${escaped(text)}</th>` : `<${tag}>${escaped(text)}</${tag}>`,
      )
      .join('');
  const plotted = report.cases.some(({ group }) => group === id);
  const kinds = plotted ? ['throughput', 'cpu', ...(report.rounds > 1 ? ['rounds'] : [])] : [];
  return `<section id="${id}">
<h2>${escaped(title)}</h2>
<div class="plots">${kinds.map((kind) => `<figure data-group="${id}" data-kind="${kind}"></figure>`).join('')}</div>
<div class="table"><table><thead><tr>${cells(head, 'th')}</tr></thead><tbody>
${body.map((row) => `<tr>${cells(row, 'td')}</tr>`).join('\n')}
</tbody></table></div>
</section>`;
}

function uplotFile(name: string): string {
  return readFileSync(
    join(dirname(createRequire(import.meta.url).resolve('uplot/package.json')), 'dist', name),
    'utf8',
  );
}

function ownFile(name: string): string {
  return readFileSync(join(projectRoot, 'bench/report', name), 'utf8');
}

/** A script element ends at the first `</script`, wherever it stands. */
function scriptText(script: string): string {
  return script.replaceAll(/<\/script/gi, '<\\/script');
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
