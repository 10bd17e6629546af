"""The recordings of the predecessor framework: how they are written, and how they become runs.

A recording is a file of consecutive messages, one an event: CBOR items (`.cbors`) or pickles
(`.pkls`), either also compressed with gzip. A message is an event number, the streams of that event
and the time; a stream has a type and frames, which are bytes. In CBOR it is tag 42877 [event
number, {name: tag 42878 [type, [frame, ...]]}, time]; as a pickle, the classes
`dranspose.event.InternalWorkerMessage` and `StreamData`. Types of streams: "STINS" (images) and
"xspress" (spectra) begin with a JSON header in each message; "sardana" (JSON) and "contrast"
(pickled dicts) tell of the scan. The files of one scan share their event numbers.

From the bytes of the files up to the documents:

* `bytesource`: the bytes of a file, plain or gzip, with their offsets.
* `unpickle` and `pickledvalues`: pickles as plain data, nothing executed.
* `messages`: the messages of one file, and those of several merged by event number.
* `frames`: the pixels in a message, and the burst of a step that loads them when asked.
* `readings`: named values, and the data keys that describe them.
* `scans`: what sardana and contrast say of a scan: its title, motors, steps and end.
* `stepdata`: what the detectors brought since the last step.
* `runwriter`: the documents of one run, with uids that follow from its contents.
* `runreader`: follows the events and decides where runs and steps begin and end.
"""
