"""Rotations of other datasets and programs, against arithmetic as their owners publish it, by scipy."""

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from semiuhpe import conventions
from semiuhpe.errors import DataError
from semiuhpe.rotation import euler_to_matrix, in_plane_rotation, matrix_to_euler

EULER = [
    (0.0, 0.0, 0.0),
    (20.0, 0.0, 0.0),
    (0.0, 30.0, 0.0),
    (0.0, 0.0, 10.0),
    (-17.0, 62.0, 41.0),
    (35.0, -80.0, -5.0),
]
LEFT, UP, FRONT = torch.eye(3, dtype=torch.float64)


def rotation_of(euler):
    return euler_to_matrix(torch.tensor(euler, dtype=torch.float64))


def near(found, expected):
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=1e-9)


def test_signs_are_those_that_the_page_states():
    nose_up, nose_left, tilted = (rotation_of(e) for e in ((20.0, 0, 0), (0, 20.0, 0), (0, 0, 20.0)))
    assert (nose_up @ FRONT)[1] < 0  # camera y is down
    assert (nose_left @ FRONT)[0] < 0  # the left of the picture, the subject's right
    assert (tilted @ LEFT)[1] > 0  # clockwise in the picture: the subject's left ear goes down
    near(in_plane_rotation(torch.tensor(20.0, dtype=torch.float64)) @ rotation_of((0.0, 0, 0)), tilted)


@pytest.mark.parametrize("euler", EULER)
def test_dad3dheads_is_opengl_with_y_up_and_z_to_the_viewer(euler):
    rotation = rotation_of(euler)
    model_view = np.eye(4)
    model_view[:3, :3] = np.diag([1, -1, -1]) @ rotation.numpy()
    model_view[:3, 3] = 0.1, -0.2, -4.0
    expected = (np.diag([1, -1, -1, 1]) @ model_view)[:3, :3]
    near(conventions.from_dad3dheads(torch.from_numpy(model_view)), expected)
    near(conventions.to_dad3dheads(rotation), model_view[:3, :3])


@pytest.mark.parametrize("euler", EULER)
def test_biwi_gives_the_angles_that_the_literature_reads_from_it(euler):
    pitch, yaw, roll = euler
    transposed = Rotation.from_euler("xyz", [pitch, -yaw, -roll], degrees=True).as_matrix()
    # Hopenet's reading: pitch, yaw and roll of the transposed matrix, yaw and roll negated.
    read = np.degrees(
        [
            np.arctan2(transposed[2, 1], transposed[2, 2]),
            -np.arctan2(-transposed[2, 0], np.hypot(transposed[2, 1], transposed[2, 2])),
            -np.arctan2(transposed[1, 0], transposed[0, 0]),
        ]
    )
    near(read, euler)
    rotation = conventions.from_biwi(torch.from_numpy(transposed.T.copy()))
    near(matrix_to_euler(rotation), euler)
    near(conventions.to_biwi(rotation), transposed.T)


@pytest.mark.parametrize("euler", EULER)
def test_img2pose_gives_the_angles_of_its_own_evaluation(euler):
    pitch, yaw, roll = euler
    vector = Rotation.from_euler("xyz", [pitch, -yaw, -roll], degrees=True).inv().as_rotvec()
    rotation = conventions.from_img2pose(torch.from_numpy(vector))
    near(matrix_to_euler(rotation), euler)
    near(conventions.to_img2pose(rotation), vector)
    near(rotation, Rotation.from_rotvec(vector).as_matrix() @ np.diag([1, -1, -1]))


@pytest.mark.parametrize("euler", EULER)
def test_6drepnet_gives_the_matrix_of_300wlp(euler):
    pitch, yaw, roll = euler
    matrix = (
        Rotation.from_rotvec([0, 0, roll], degrees=True) * Rotation.from_rotvec([0, yaw, 0], degrees=True)
    ).as_matrix()
    matrix = torch.from_numpy(matrix @ Rotation.from_rotvec([pitch, 0, 0], degrees=True).as_matrix())
    near(conventions.from_6drepnet(matrix), rotation_of(euler))
    near(conventions.to_6drepnet(rotation_of(euler)), matrix)


@pytest.mark.parametrize("name", ["dad3dheads", "biwi", "img2pose", "6drepnet", "aflw"])
def test_all_of_them_come_back_over_all_rotations_in_batches(name):
    rotations = torch.from_numpy(Rotation.random(60, rng=np.random.default_rng(0)).as_matrix()).reshape(5, 12, 3, 3)
    forth = getattr(conventions, f"to_{name}")(rotations)
    near(getattr(conventions, f"from_{name}")(forth), rotations)
    single = getattr(conventions, f"from_{name}")(forth.float())
    assert single.dtype == torch.float32 and single.shape == rotations.shape


@pytest.mark.parametrize("euler", EULER)
def test_aflw_gives_the_angles_of_its_program(euler):
    rotation = rotation_of(euler)
    to_posit = np.array([[0.0, 0, -1], [-1, 0, 0], [0, 1, 0]])
    front_right_down = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])  # columns, in our axes of the head
    yaw, pitch, roll = Rotation.from_matrix(to_posit @ rotation.numpy() @ front_right_down).as_euler("ZYX")
    near(conventions.to_aflw(rotation), [roll, pitch, yaw])
    near(conventions.from_aflw(torch.tensor([roll, pitch, yaw], dtype=torch.float64)), rotation)


def test_other_shapes_are_an_error_that_names_them():
    with pytest.raises(DataError, match=r"model_view_matrix .*\(3, 4\)"):
        conventions.from_dad3dheads(torch.zeros(3, 4))


# Axes of other programs, as vectors in ours: of the camera x right, y down, z into the scene; of the head x to the
# subject's left, y up, z out of the face. Columns are their axes.
OPENGL_CAMERA = np.diag([1.0, -1, -1])
UNITY_CAMERA = np.diag([1.0, -1, 1])
UNITY_HEAD = np.diag([-1.0, 1, 1])
ROS_HEAD = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])  # forward, left, up


@pytest.mark.parametrize("euler", EULER)
@pytest.mark.parametrize(
    "name, camera, head",
    [
        ("mediapipe", OPENGL_CAMERA, np.eye(3)),
        ("arkit", OPENGL_CAMERA, np.eye(3)),
        ("unity", UNITY_CAMERA, UNITY_HEAD),
        ("ros", np.eye(3), ROS_HEAD),
    ],
)
def test_matrices_of_other_programs(euler, name, camera, head):
    rotation = rotation_of(euler)
    theirs = camera.T @ rotation.numpy() @ head  # their camera's coordinates of their head's axes
    assert np.linalg.det(theirs) == pytest.approx(1)
    near(getattr(conventions, f"from_{name}")(torch.from_numpy(theirs)), rotation)
    near(getattr(conventions, f"to_{name}")(rotation), theirs)


def test_what_other_programs_say_of_a_frontal_head():
    frontal = rotation_of((0.0, 0, 0))
    near(conventions.to_mediapipe(frontal), np.eye(3))
    near(conventions.to_openface(frontal), np.zeros(3))
    near(conventions.to_unity(frontal) @ np.array([0.0, 0, 1]), [0, 0, -1])  # it looks against the camera's z
    near(conventions.to_ros(frontal)[:, 0], [0, 0, -1])


@pytest.mark.parametrize("euler", EULER)
def test_openface_and_opencv(euler):
    rotation = rotation_of(euler)
    angles = conventions.to_openface(rotation).numpy()
    product = np.eye(3)
    for axis, angle in zip("xyz", angles, strict=True):
        product = product @ Rotation.from_euler(axis, angle).as_matrix()
    near(product @ np.diag([1, -1, -1]), rotation)
    near(conventions.from_openface(torch.from_numpy(angles)), rotation)
    near(conventions.from_opencv(conventions.to_opencv(rotation)), rotation)
    near(cv2.Rodrigues(conventions.to_opencv(rotation).numpy())[0], rotation)
    turned_left = conventions.to_openface(rotation_of((0.0, 20.0, 0.0)))  # the nose to the left of the picture
    assert turned_left[1] > 0 and abs(turned_left[0]) < 1e-9
