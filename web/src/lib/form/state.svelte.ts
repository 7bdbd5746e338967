//! One form: its fields, what is wrong with them, and what sending it came to.

import { getContext, setContext } from 'svelte';
import { ApiFailure } from '../api';
import type { Message } from '../i18n/catalogue';
import { problemOf, type Problem, type Values } from './problem';

/** What a field tells its form. */
export interface FieldEntry {
  readonly name: string;
  readonly element: HTMLElement;
  value(): string;
  /** What is wrong with it that can be told before it is sent. */
  check(): Message | null;
}

export interface FormOptions {
  action: () => Promise<unknown>;
  /** What a refusal means here, where that is not what it means elsewhere. */
  explain?: ((failure: ApiFailure) => Problem | null) | undefined;
}

const KEY = Symbol('form');

export class FormState {
  problems = $state.raw<Readonly<Record<string, Message>>>({});
  /** About the whole form. */
  top = $state.raw<Message | null>(null);
  busy = $state(false);
  done = $state(false);
  #fields = new Set<FieldEntry>();

  register(field: FieldEntry): () => void {
    this.#fields.add(field);
    return () => this.#fields.delete(field);
  }

  /** Somebody types: what was said of the field, and of the last attempt, is over. */
  touched(name: string): void {
    this.done = false;
    if (!(name in this.problems)) return;
    const { [name]: _, ...rest } = this.problems;
    this.problems = rest;
  }

  async submit({ action, explain }: FormOptions): Promise<void> {
    if (this.busy) return;
    const fields = this.#inOrder();
    this.done = false;
    this.top = null;
    this.problems = Object.fromEntries(
      fields.flatMap((field) => {
        const message = field.check();
        return message ? [[field.name, message]] : [];
      }),
    );
    if (this.#focusFirst(fields)) return;
    this.busy = true;
    try {
      await action();
      this.done = true;
    } catch (error) {
      if (!(error instanceof ApiFailure)) throw error;
      this.#refused(explain?.(error) ?? problemOf(error, valuesOf(fields)), fields);
    } finally {
      this.busy = false;
    }
  }

  /** A problem with a field that is not in the form is told above it. */
  #refused({ field, message }: Problem, fields: FieldEntry[]): void {
    if (field !== null && fields.some(({ name }) => name === field)) this.problems = { [field]: message };
    else this.top = message;
    this.#focusFirst(fields);
  }

  #focusFirst(fields: FieldEntry[]): boolean {
    const first = fields.find(({ name }) => name in this.problems);
    first?.element.focus();
    return first !== undefined;
  }

  #inOrder(): FieldEntry[] {
    const before = (a: Node, b: Node): boolean => (a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING) !== 0;
    return [...this.#fields].sort((a, b) => (before(a.element, b.element) ? -1 : 1));
  }
}

function valuesOf(fields: FieldEntry[]): Values {
  return Object.fromEntries(fields.map((field) => [field.name, field.value()]));
}

export function provideForm(form: FormState): void {
  setContext(KEY, form);
}

/** Null for a field that stands by itself. */
export function surroundingForm(): FormState | null {
  return getContext<FormState | undefined>(KEY) ?? null;
}
