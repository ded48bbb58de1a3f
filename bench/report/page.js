// Runs in the page that page.ts makes, behind uPlot: draws every figure from the data beside it.
/* global document, getComputedStyle, uPlot */
const plots = JSON.parse(document.getElementById('plots').textContent);
const style = getComputedStyle(document.documentElement);
const color = (name) => style.getPropertyValue(`--${name}`).trim();
const font = '12px system-ui, sans-serif';
const palette = ['#0b7a75', '#d1495b', '#edae49', '#30638e', '#7a5195', '#6a994e', '#bc6c25', '#8d99ae', '#ef5675'];

const captions = {
  throughput: { MB: 'MB/s', op: 'operations a second' },
  cpu: { MB: 'CPU seconds a GB', op: 'CPU milliseconds an operation' },
  rounds: { MB: 'MB/s by round', op: 'operations a second by round' },
};

const axis = (more) => ({
  font,
  stroke: color('faint'),
  grid: { stroke: color('line'), width: 1 },
  ticks: { stroke: color('line') },
  ...more,
});

/** Horizontal bars, one a case, so that their names can be read. */
function drawBars(figure, { cases }, kind) {
  const places = cases.map((_, index) => index);
  const bars = (own) => cases.map((each) => (each.own === own ? each[kind] : null));
  const most = Math.max(
    ...cases.flatMap((each) => [each[kind], ...(kind === 'throughput' ? [each.ideal ?? 0, ...each.rounds] : [])]),
  );
  const series = (name) => ({
    scale: 'y',
    fill: color(name),
    width: 0,
    points: { show: false },
    paths: uPlot.paths.bars({ size: [0.65, 24] }),
  });
  const options = {
    width: kind === 'cpu' ? 460 : 540,
    height: 70 + 30 * cases.length,
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, ori: 1, dir: -1, range: [-0.6, cases.length - 0.4] },
      y: { ori: 0, range: [0, most * 1.08 || 1] },
    },
    axes: [
      axis({
        scale: 'x',
        side: 3,
        size: 270,
        stroke: color('ink'),
        splits: () => places,
        values: () => cases.map(({ title }) => title),
        grid: { show: false },
        ticks: { show: false },
      }),
      axis({ scale: 'y', side: 2, space: 60 }),
    ],
    series: [{}, series('other'), series('own')],
    hooks: { draw: [(plot) => kind === 'throughput' && drawSamples(plot, cases)] },
  };
  figure.append(new uPlot(options, [places, bars(false), bars(true)]).root);
}

/** The rounds as dots over the bars, and what the pace allows as a line. */
function drawSamples(plot, cases) {
  const { ctx } = plot;
  ctx.save();
  cases.forEach(({ rounds, ideal }, index) => {
    const middle = plot.valToPos(index, 'x', true);
    ctx.fillStyle = color('dot');
    for (const value of rounds) {
      if (value === null) continue;
      ctx.beginPath();
      ctx.arc(plot.valToPos(value, 'y', true), middle, 2.5 * uPlot.pxRatio, 0, 2 * Math.PI);
      ctx.fill();
    }
    if (ideal === undefined) return;
    ctx.fillStyle = palette[1];
    ctx.fillRect(plot.valToPos(ideal, 'y', true), middle - 12 * uPlot.pxRatio, 2 * uPlot.pxRatio, 24 * uPlot.pxRatio);
  });
  ctx.restore();
}

/** How steady the machine was: a case's dent that all have is none of the case's. */
function drawRounds(figure, { cases }) {
  const rounds = cases[0].rounds.map((_, index) => index + 1);
  const options = {
    width: 520,
    height: 70 + 30 * Math.max(4, cases.length),
    cursor: { show: false },
    legend: { live: false },
    scales: {
      x: { time: false, range: [0.8, rounds.length + 0.2] },
      y: { range: (_plot, _low, high) => [0, high * 1.08] },
    },
    axes: [axis({ splits: () => rounds, values: () => rounds.map(String) }), axis({ size: 60 })],
    series: [
      {},
      ...cases.map(({ title }, index) => ({
        label: title,
        stroke: palette[index % palette.length],
        width: 2,
        points: { show: true, size: 6 },
      })),
    ],
  };
  figure.append(new uPlot(options, [rounds, ...cases.map((each) => each.rounds)]).root);
}

for (const figure of document.querySelectorAll('figure')) {
  const { group, kind } = figure.dataset;
  const data = plots[group];
  const caption = document.createElement('figcaption');
  caption.textContent = captions[kind][data.unit];
  figure.append(caption);
  if (kind === 'rounds') drawRounds(figure, data);
  else drawBars(figure, data, kind);
}
