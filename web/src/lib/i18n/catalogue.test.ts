import { describe, expect, it } from 'vitest';
import { CATALOGUES, translate, type MessageKey } from './catalogue';
import { account } from './en/account';
import { admin } from './en/admin';
import { camera } from './en/camera';
import { chat } from './en/chat';
import { danmaku } from './en/danmaku';
import { earnings } from './en/earnings';
import { form } from './en/form';
import { studio } from './en/studio';
import { chooseLanguage, otherLanguage } from './language';

const { en, 'zh-CN': zhCN } = CATALOGUES;
const keys = Object.keys(en) as MessageKey[];
const placeholders = (message: string): string[] => (message.match(/\{\w+\}/g) ?? []).sort();

describe('the catalogues', () => {
  it('have the same keys', () => {
    expect(Object.keys(zhCN).sort()).toEqual([...keys].sort());
  });

  it('have no key twice, of which one would hide the other', () => {
    const parted = [account, admin, camera, chat, danmaku, earnings, form, studio].flatMap((part) => Object.keys(part));
    expect(parted.filter((key, i) => parted.indexOf(key) !== i)).toEqual([]);
  });

  it.each(keys)('%s says something in both languages, with the same placeholders', (key) => {
    expect(en[key].trim()).not.toBe('');
    expect(zhCN[key].trim()).not.toBe('');
    expect(placeholders(zhCN[key])).toEqual(placeholders(en[key]));
  });

  it.each(keys)('%s has no exclamation mark', (key) => {
    expect(en[key]).not.toContain('!');
    expect(zhCN[key]).not.toMatch(/[!！]/);
  });

  it.each(keys)('%s is typeset as Chinese: full-width punctuation, no typed gaps beside characters', (key) => {
    const message = zhCN[key];
    expect(message).not.toMatch(/\p{Script=Han}[,;:?()]|[,;?()]\p{Script=Han}/u);
    expect(message).not.toMatch(/\p{Script=Han}\.(?!\d)/u);
    expect(message.replaceAll(' · ', '·')).not.toMatch(/\p{Script=Han} |[^·] \p{Script=Han}/u);
  });
});

describe('translate', () => {
  it('fills in the placeholders and leaves unknown ones visible', () => {
    expect(translate('en', 'room.last_live', { ago: 'yesterday' })).toBe('Last live yesterday');
    expect(translate('en', 'room.last_live', {})).toBe('Last live {ago}');
  });
});

describe('chooseLanguage', () => {
  it('takes the address before the remembered choice before the browser', () => {
    expect(chooseLanguage('zh-CN', 'en', ['en-US'])).toBe('zh-CN');
    expect(chooseLanguage(null, 'en', ['zh-CN'])).toBe('en');
    expect(chooseLanguage(null, null, ['fr-FR', 'zh-Hans-CN', 'en'])).toBe('zh-CN');
  });

  it('speaks English when it speaks none of the wished', () => {
    expect(chooseLanguage('klingon', null, ['fr'])).toBe('en');
  });

  it('knows the other one', () => {
    expect(otherLanguage('en')).toBe('zh-CN');
    expect(otherLanguage('zh-CN')).toBe('en');
  });
});
