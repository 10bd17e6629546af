// What stands at a tick of a logarithmic axis: a number as it is read, or a power of ten.
const power = Math.floor(Math.log10(tick) + 1e-9);
if (-4 < power && power < 5) return String(Number(tick.toPrecision(3)));
const head = Number((tick / 10 ** power).toPrecision(3));
const raised = [...String(power)].map((letter) => letter == "-" ? "\u207b" : "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[letter]);
return (head == 1 ? "" : `${head}\u00b7`) + "10" + raised.join("");
