#!/usr/bin/env bash
# Makes docs/figures/ again, with the commands of docs/tour.md. Run `make figures`.
set -euo pipefail
cd "$(dirname "$0")/.."
edge=${1:-fmnist-edge}
figures=docs/figures
dpi=80  # sharp enough in a page, and the folder stays under a megabyte
"$edge" plot samples --index 20000 --dpi $dpi -o $figures/samples.png
"$edge" plot curves train/artifacts/fmnist-mlp.training.json --dpi $dpi -o $figures/curves.png
"$edge" plot prediction --index 2000 --dpi $dpi -o $figures/prediction-2000.png
"$edge" plot prediction --index 800 --dpi $dpi -o $figures/prediction-800.png
"$edge" plot predictions --count 15 --dpi $dpi -o $figures/predictions.png
"$edge" plot confusion --dpi $dpi -o $figures/confusion.png
"$edge" plot mistakes --dpi $dpi -o $figures/mistakes.png
"$edge" plot calibration --dpi $dpi -o $figures/calibration.png
"$edge" plot weights --dpi $dpi -o $figures/weights.png
"$edge" plot prediction samples/scenes/0-t-shirt-top.jpg --truth t-shirt-top --dpi $dpi -o $figures/photo.png
