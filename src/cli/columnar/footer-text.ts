/** What `footer` says to people: the schema, and a table of the row groups, stripes or record batches. Pure. */
import { counted, formatByteSize } from '../byte-size.ts';
import type { FooterDocument, FooterGroup } from '../schemas.ts';

const names = { parquet: 'Parquet', orc: 'ORC', arrow: 'Arrow' } as const;
const groupNames = { parquet: 'row group', orc: 'stripe', arrow: 'record batch' } as const;

/** Groups beyond this are summed up in a line: a terminal shows so many. */
const mostGroups = 50;

export function footerText({ format, rows, groups, schema, metadata }: FooterDocument, what: string): string[] {
  const noun = groupNames[format];
  const plural = noun === 'record batch' ? 'record batches' : `${noun}s`;
  const lines = [
    `${what}: ${names[format]}, ${counted(rows, 'row')}, ${groups.length === 1 ? `1 ${noun}` : `${groups.length} ${plural}`}`,
    '',
    ...printable(schema).split('\n'),
  ];
  const entries = Object.entries(metadata);
  if (entries.length > 0) {
    lines.push(
      '',
      ...entries.map(([name, value]) => `${printable(name)} = ${shortened(printable(value).replaceAll('\n', '\\n'))}`),
    );
  }
  if (groups.length === 0) return lines;
  const table = groups
    .slice(0, mostGroups)
    .map((group, index) => [
      String(index),
      String(group.rows),
      String(group.start),
      formatByteSize(group.length),
      compressionOf(group),
    ]);
  lines.push('', ...aligned([[noun, 'rows', 'start', 'size', 'compression'], ...table]));
  if (groups.length > mostGroups) {
    lines.push(`and ${groups.length - mostGroups} more ${plural}: --json has them all, with their columns`);
  }
  return lines;
}

function compressionOf({ columns }: FooterGroup): string {
  return [...new Set(columns.map(({ compression }) => compression))].join(', ');
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
}

function shortened(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 100)}… (${text.length} characters)`;
}

/** Names and metadata are anybody's text: what a terminal would act on is shown, not sent. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, (character) =>
    character === '\n' ? character : `\\x${character.codePointAt(0)!.toString(16).padStart(2, '0')}`,
  );
}
