/** Pictures of emotes for a canvas. Asked for when one is first heard, so that most are there when it moves in. */

const IMAGES_MAX = 300;

export class EmoteImages {
  #images = new Map<string, HTMLImageElement>();

  /** The picture, or null as long as it is not there. */
  get(url: string): HTMLImageElement | null {
    const known = this.#images.get(url);
    if (known) return known.complete && known.naturalWidth > 0 ? known : null;
    const image = new Image();
    image.src = url;
    this.#images.set(url, image);
    const [oldest] = this.#images.keys();
    if (this.#images.size > IMAGES_MAX && oldest !== undefined) this.#images.delete(oldest);
    return null;
  }

  /** Whether there is still reason to wait for it. */
  isComing(url: string): boolean {
    this.get(url);
    return this.#images.get(url)?.complete === false;
  }
}
