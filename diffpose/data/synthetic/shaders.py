"""GLSL programs of the renderer."""

MAX_JOINTS = 96

SKIN_VERTEX = f"""#version 330
in vec3 position; in vec3 normal; in vec2 uv; in vec4 joints; in vec4 weights; in float cloth;
uniform vec4 bones[{3 * MAX_JOINTS}];  // rows of 3x4 rigid transforms
uniform mat4 view_projection;
out vec3 world_normal; out vec2 texture_uv; out vec3 world; out float cloth_share;
void main() {{
    ivec4 at = ivec4(joints + 0.5) * 3;
    vec4 row_x = weights.x * bones[at.x] + weights.y * bones[at.y]
               + weights.z * bones[at.z] + weights.w * bones[at.w];
    vec4 row_y = weights.x * bones[at.x + 1] + weights.y * bones[at.y + 1]
               + weights.z * bones[at.z + 1] + weights.w * bones[at.w + 1];
    vec4 row_z = weights.x * bones[at.x + 2] + weights.y * bones[at.y + 2]
               + weights.z * bones[at.z + 2] + weights.w * bones[at.w + 2];
    vec4 p = vec4(position, 1.0), n = vec4(normal, 0.0);
    world = vec3(dot(row_x, p), dot(row_y, p), dot(row_z, p));
    world_normal = vec3(dot(row_x, n), dot(row_y, n), dot(row_z, n));
    texture_uv = uv;
    cloth_share = cloth;
    gl_Position = view_projection * vec4(world, 1.0);
}}
"""

COLOUR_FRAGMENT = """#version 330
in vec3 world_normal; in vec2 texture_uv; in vec3 world; in float cloth_share;
uniform sampler2D picture; uniform mat3 dye; uniform float cut; uniform vec3 eye;
uniform vec3 direction; uniform vec3 sun; uniform vec3 sky; uniform vec3 ground;
uniform float gloss; uniform float number;
out vec4 colour;  // alpha: the number of who is seen
// Bare arms and legs share the clothes' texture: hold back the dye where it looks like skin.
float skin_likeness(vec3 c) {
    float luma = dot(c, vec3(0.299, 0.587, 0.114)) + 0.02;
    float red = (c.r - luma) / luma, blue = (c.b - luma) / luma;
    return smoothstep(0.08, 0.16, red) * (1.0 - smoothstep(0.75, 0.95, red))
         * smoothstep(0.08, 0.18, -blue) * (1.0 - smoothstep(0.80, 0.95, -blue));
}
void main() {
    vec4 texel = texture(picture, texture_uv);
    if (texel.a < cut) discard;
    float share = cloth_share * (1.0 - skin_likeness(texel.rgb));
    vec3 base = mix(texel.rgb, clamp(dye * texel.rgb, 0.02, 1.0), share);
    vec3 to_eye = normalize(eye - world);
    float flat_surface = step(dot(world_normal, world_normal), 1e-6);
    vec3 n = world_normal / max(length(world_normal), 1e-6);
    if (dot(n, to_eye) < 0.0) n = -n;
    float facing = mix(max(dot(n, direction), 0.0), 0.5, flat_surface);
    float highlight = gloss * pow(max(dot(n, normalize(direction + to_eye)), 0.0), 24.0);
    vec3 ambient = mix(ground, sky, n.y * 0.5 + 0.5);
    vec3 linear = pow(base, vec3(2.2)) * (ambient + sun * facing) + sun * highlight;
    colour = vec4(pow(linear, vec3(1.0 / 2.2)), number);
}
"""

BACKDROP_VERTEX = """#version 330
in vec2 corner; uniform vec2 start; uniform vec2 extent; out vec2 texture_uv;
void main() {
    texture_uv = start + extent * vec2(corner.x * 0.5 + 0.5, 0.5 - corner.y * 0.5);
    gl_Position = vec4(corner, 0.9999, 1.0);
}
"""

BACKDROP_FRAGMENT = """#version 330
in vec2 texture_uv; uniform sampler2D picture; out vec4 colour;
void main() { colour = vec4(texture(picture, texture_uv).rgb, 0.0); }
"""
