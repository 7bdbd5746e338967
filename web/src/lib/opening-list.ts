import type { Attachment } from 'svelte/attachments';
import { on } from 'svelte/events';

/** A list that opens from a button, both in one element. */
interface OpeningList {
  isOpen: () => boolean;
  show: (open: boolean) => void;
  /** What the arrow keys step through; null where what is in it has a use of its own for them. */
  items: string | null;
  /** Whether the arrow keys open it, too. */
  arrowsOpen?: boolean;
}

/** Shuts it on Escape and when somebody turns elsewhere; the arrow keys step through it, beside Tab. */
export function openingList({ isOpen, show, items, arrowsOpen = false }: OpeningList): Attachment<HTMLElement> {
  return (element) => {
    const isElsewhere = (target: EventTarget | null) => !element.contains(target as Node | null);

    function onKey(event: KeyboardEvent): void {
      if (event.key === 'Escape' && isOpen()) {
        event.preventDefault();
        show(false);
        element.querySelector<HTMLElement>('[aria-expanded]')?.focus();
        return;
      }
      if (items === null || (event.key !== 'ArrowDown' && event.key !== 'ArrowUp')) return;
      if (!isOpen() && !arrowsOpen) return;
      event.preventDefault();
      show(true);
      const all = [...element.querySelectorAll<HTMLElement>(items)];
      const at = all.indexOf(document.activeElement as HTMLElement);
      const down = event.key === 'ArrowDown';
      const next = at === -1 ? (down ? 0 : -1) : (at + (down ? 1 : -1)) % all.length;
      // The list may be drawn only now.
      requestAnimationFrame(() => all.at(next)?.focus());
    }

    const off = [
      on(window, 'pointerdown', (event) => {
        if (isOpen() && isElsewhere(event.target)) show(false);
      }),
      on(element, 'focusout', (event) => {
        if (event.relatedTarget && isElsewhere(event.relatedTarget)) show(false);
      }),
      on(element, 'keydown', onKey),
    ];
    return () => off.forEach((stop) => stop());
  };
}
