// A tree that is there as a whole.

grow(JSON.parse(el("data").textContent));
lay();
paint();
fit();
showAll();
chosen = winner();
setTime(last);
loop();
