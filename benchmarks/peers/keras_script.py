"""The single script: load with Keras, train, evaluate both sets, predict."""

import json
import time

import keras

(x, y), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
x, x_test = x / 255.0, x_test / 255.0
model = keras.Sequential(
    [
        keras.Input((28, 28)),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
started = time.perf_counter()
model.fit(x, y, epochs=5, verbose=0)
seconds = time.perf_counter() - started
model.evaluate(x, y, verbose=0)
_, accuracy = model.evaluate(x_test, y_test, verbose=0)
model.predict(x_test, verbose=0)
print(json.dumps({"seconds": seconds, "accuracy": accuracy}))
