// Makes fixtures/demo/orders.ndjson.gz: 60 000 orders of a shop that does not exist, from a seed, so that anybody can make the very
// same rows again. node scripts/make-demo-orders.mjs
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const seed = 20_260_101;
const rows = 60_000;

// mulberry32: 32 bits of state are plenty for a fixture.
let state = seed;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];
// Few customers and products make most of the orders, as in any shop.
const skewed = (n) => Math.floor(n * random() ** 3);

const cities = [
  ['Helsinki', 'FI', '00100'],
  ['Tampere', 'FI', '33100'],
  ['Göteborg', 'SE', '411 06'],
  ['Kraków', 'PL', '31-001'],
  ['Lisboa', 'PT', '1100-148'],
  ['Zürich', 'CH', '8001'],
  ['København', 'DK', '1050'],
  ['Gent', 'BE', '9000'],
];
const products = [
  'Kettle',
  'Desk lamp',
  'Notebook A5',
  'Wool socks',
  'Bicycle bell',
  'Tea tin',
  'Rain jacket',
  'Thermos',
  'Paring knife',
  'Umbrella',
];
const states = ['paid', 'paid', 'paid', 'shipped', 'shipped', 'returned', 'cancelled'];
const notes = [
  null,
  null,
  null,
  null,
  'leave at the door',
  'ring twice',
  'gift – no invoice inside',
  'naïve café delivery 🙂',
];

const begin = Date.UTC(2025, 0, 1);
const lines = [];
for (let n = 0, time = begin; n < rows; n++) {
  time += below(1_050_000);
  const [city, country, postcode] = pick(cities);
  const customer = skewed(9000);
  const items = Array.from({ length: 1 + below(3) }, () => {
    const product = skewed(products.length);
    return {
      sku: `P-${String(1000 + product * 7)}`,
      name: products[product],
      quantity: 1 + below(4),
      price: Number((4 + random() * 90).toFixed(2)),
    };
  });
  const total = Number(items.reduce((sum, { quantity, price }) => sum + quantity * price, 0).toFixed(2));
  lines.push(
    JSON.stringify({
      id: 1_000_000 + n,
      placedAt: new Date(time).toISOString(),
      customer: { id: customer, city, country, postcode },
      items,
      total,
      currency: country === 'CH' ? 'CHF' : 'EUR',
      state: pick(states),
      note: pick(notes),
    }),
  );
}
const text = Buffer.from(`${lines.join('\n')}\n`, 'utf8');
const packed = gzipSync(text, { level: 9 });
writeFileSync(join(import.meta.dirname, '../fixtures/demo/orders.ndjson.gz'), packed);
console.log(
  `${rows} rows, ${text.length} bytes, sha256 ${createHash('sha256').update(text).digest('hex')}, packed ${packed.length}`,
);
