// Everything the page says, in each language; both have the same keys.

import { EN } from "./words_en.js";
import { ZH } from "./words_zh.js";

export const WORDS = { en: EN, zh: ZH };
