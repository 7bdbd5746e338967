// Somebody with coins, as the pages let them be: signed up, at the checkout, before the gifts of a room.

import { PASSWORD } from './crowd.mjs';
import { until } from './server.mjs';

const whole = (text) => Number(text.replace(/\D/g, ''));

/** Makes an account of the page's own, and goes on where one wanted to go. */
export async function signUp(page, server, handle, then) {
  await page.goto(`${server.url}/sign-up?then=${encodeURIComponent(then)}`);
  for (const [name, value] of Object.entries({ handle, password: PASSWORD })) await page.locator(`[name=${name}]`).fill(value);
  await page.getByRole('button', { name: 'Make the account', exact: true }).click();
  await page.waitForURL(server.url + then);
}

/** What the wallet's page says one has. */
export const inWallet = async (page) => whole(await page.locator('.balance .gold').innerText());

/** From the wallet's page to the checkout of this pack. */
export async function order(page, coins) {
  await page.getByRole('button', { name: new RegExp(`^${coins.toLocaleString('en')} coins`) }).click();
  await page.waitForURL(/\/pay\/[^/]+$/);
}

export async function pay(page) {
  await page.getByRole('button', { name: /^Pay / }).click();
  // It leads back by itself.
  await page.waitForURL(/\/wallet(\?|$)/);
}

/** The gifts below the picture, once something can be given there. */
export async function atTheShelf(page) {
  const shelf = page.getByRole('region', { name: 'Gifts', exact: true });
  await shelf.getByRole('button', { name: /^Rose/ }).and(page.locator(':enabled')).waitFor();
  const coins = async () => whole(await shelf.locator('.coins').innerText());
  return {
    coins,
    has: (count) => until(`${count} coins are left`, async () => (await coins()) === count),
    give: (name) => shelf.getByRole('button', { name: new RegExp(`^${name}`) }).click(),
    shelf,
  };
}

/** In a page: the gifts that stand in the chat, as they read, and what is said with them. */
export const readGifts = () =>
  [...document.querySelectorAll('[role=log] .line')].flatMap((line) => {
    const gift = line.querySelector('.gift');
    return gift ? [[line.querySelector('.who'), gift, line.querySelector('.text')].map((one) => one.textContent.trim().replace(/\s+/g, ' ')).filter(Boolean).join(' ')] : [];
  });
