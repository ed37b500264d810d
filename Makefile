# SPDX-License-Identifier: GPL-3.0-or-later
# make setup   what earwire and its tests need, into the system (Debian) and into .venv
# make demo    hear what it does
# make test    everything that must hold before a change goes in

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.earwire-setup

# jackd2, jack-capture, liblo-tools and ardour: what the tests play against, without a sound card.
# puredata-core: the example patch runs in it.
# dpf-source, g++ and pkg-config: the tests build a small VST3 of their own, since Debian packages none.
DEBIAN := ardour dpf-source g++ jack-capture jackd2 liblo-tools libportaudio2 libsndfile1 make pkg-config puredata-core \
	python3-venv

.PHONY: setup system demo test lint lock bench train-drums train-notes train-beat train-chords clean

setup: system $(STAMP)

# Asks dpkg rather than a stamp file: packages may come and go without us.
system:
	@command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || \
	  { echo "not Debian: please install JACK, PortAudio and libsndfile yourself"; exit 0; }; \
	missing=; for p in $(DEBIAN); do \
	  [ "$$(dpkg-query -W -f='$${db:Status-Status}' $$p 2>/dev/null)" = installed ] || missing="$$missing $$p"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ]; then sudo=; elif command -v sudo >/dev/null; then sudo=sudo; else \
	  echo "please install as root:$$missing"; exit 1; fi; \
	echo "installing:$$missing"; \
	echo "jackd2 jackd/tweak_rt_limits boolean false" | $$sudo debconf-set-selections && \
	$$sudo apt-get update -q && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "earwire needs Python 3.11 or newer; make PYTHON=python3.12 takes another")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	$(BIN)/earwire demo

test: lint
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/earwire bench latency
	$(BIN)/earwire bench load

# The drum ear anew: DATA holds drums/oneshots and midi/ (models/weights/drums.md says where they come from).
# Stops and goes on where it was; DEVICE=cuda where there is one. An evening on two cores.
# What corrects an ear learns from what that ear has not heard: $(WORK)/unheard.
DATA   ?= data
WORK   ?= build/drums
DEVICE ?= cpu
TRAIN  := avldrums.lv2-soundfont csound-soundfont fluidsynth fluid-soundfont-gm hydrogen-data hydrogen-drumkits \
	lmms-common musescore-general-soundfont
train-drums: setup
	@$(MAKE) --no-print-directory system DEBIAN="$(TRAIN)"
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-train.lock
	seq 0 $$(($$(nproc) - 1)) | xargs -P 0 -I{} $(BIN)/python -m models.train.drums render $(DATA) $(WORK) --part {} --of $$(nproc)
	$(BIN)/python -m models.train.drums train $(WORK) --device $(DEVICE)
	$(BIN)/python -m models.train.drums export $(WORK)
	seq 0 $$(($$(nproc) - 1)) | xargs -P 0 -I{} $(BIN)/python -m models.train.drums render $(DATA) $(WORK)/unheard --hours 6.4 --seed 2 --part {} --of $$(nproc)
	seq 0 $$(($$(nproc) - 1)) | xargs -P 0 -I{} $(BIN)/python -m models.train.hitnet hear $(WORK)/unheard --part {} --of $$(nproc)
	$(BIN)/python -m models.train.hitnet train $(WORK)/unheard
	$(BIN)/python -m models.train.hitnet export $(WORK)/unheard $(if $(REAL),--real $(REAL))

# The note ear anew, likewise; DATA holds pitched/ too (models/weights/notes.md).
NOTES  ?= build/notes
PLAYERS := csound-soundfont espeak-ng fluidsynth freepats hydrogen-drumkits timgm6mb-soundfont timidity
train-notes: setup
	@$(MAKE) --no-print-directory system DEBIAN="$(PLAYERS)"
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-train.lock
	seq 0 $$(($$(nproc) - 1)) | xargs -P 0 -I{} $(BIN)/python -m models.train.notes render $(DATA) $(NOTES) --part {} --of $$(nproc)
	$(BIN)/python -m models.train.notes train $(NOTES) --device $(DEVICE)
	$(BIN)/python -m models.train.notes export $(NOTES)
	seq 0 $$(($$(nproc) - 1)) | xargs -P 0 -I{} $(BIN)/python -m models.train.notes render $(DATA) $(NOTES)/unheard --hours 8.5 --seed 4 --part {} --of $$(nproc)
	seq 0 $$(($$(nproc) - 1)) | xargs -P 0 -I{} $(BIN)/python -m models.train.polynet hear $(NOTES)/unheard --part {} --of $$(nproc)
	$(BIN)/python -m models.train.polynet train $(NOTES)/unheard
	$(BIN)/python -m models.train.polynet export $(NOTES)/unheard
	seq 0 $$(($$(nproc) - 1)) | xargs -P 0 -I{} $(BIN)/python -m models.train.endnet hear $(NOTES)/unheard --part {} --of $$(nproc)
	$(BIN)/python -m models.train.endnet train $(NOTES)/unheard
	$(BIN)/python -m models.train.endnet export $(NOTES)/unheard
	seq 0 $$(($$(nproc) - 1)) | xargs -P 0 -I{} $(BIN)/python -m models.train.linenet render $(DATA) $(NOTES) --part {} --of $$(nproc)
	$(BIN)/python -m models.train.linenet train $(NOTES)
	$(BIN)/python -m models.train.linenet export $(NOTES)
	$(BIN)/python -m models.train.pedal render $(DATA) $(NOTES)
	$(BIN)/python -m models.train.pedal train $(NOTES)
	$(BIN)/python -m models.train.pedal export $(NOTES)

# The ears for beats and for chords anew; DATA holds midi/ (models/weights/beat.md, chords.md).
BEATS  ?= build/beats
BANDS  := csound-soundfont fluidsynth fluid-soundfont-gm musescore-general-soundfont timgm6mb-soundfont
train-beat: setup
	@$(MAKE) --no-print-directory system DEBIAN="$(BANDS)"
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-train.lock
	seq 0 $$(($$(nproc) - 1)) | xargs -P 0 -I{} $(BIN)/python -m models.train.beatnet render $(DATA) $(BEATS) --part {}
	$(BIN)/python -m models.train.beatnet train $(BEATS) --device $(DEVICE)
	$(BIN)/python -m models.train.beatnet fold $(BEATS)
	$(BIN)/python -m models.train.beatnet export $(BEATS)

HARMONY ?= build/harmony
train-chords: setup
	@$(MAKE) --no-print-directory system DEBIAN="$(BANDS)"
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-train.lock
	$(BIN)/python -m models.train.chordnet render $(DATA) $(HARMONY)
	$(BIN)/python -m models.train.chordnet train $(HARMONY) --device $(DEVICE)
	$(BIN)/python -m models.train.chordnet keys $(HARMONY)
	$(BIN)/python -m models.train.chordnet export $(HARMONY)

# One lock for every platform and Python; an address of an index has no place in it.
LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --fork-strategy fewest --upgrade --no-header \
	--no-emit-index-url --no-emit-find-links --no-annotate pyproject.toml

lock: setup
	$(LOCK) -o requirements.lock
	$(LOCK) --extra dev -o requirements-dev.lock
	$(LOCK) --extra train -o requirements-train.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
